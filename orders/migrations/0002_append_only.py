"""The database itself refuses to change rows that are history."""

from django.db import migrations

from myproject.append_only import append_only_triggers


class Migration(migrations.Migration):
    dependencies = [("orders", "0001_initial")]

    operations = [
        append_only_triggers("orders_orderevent"),
        append_only_triggers("orders_ledgertransaction"),
        append_only_triggers("orders_ledgerentry"),
    ]
