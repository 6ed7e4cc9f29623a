"""The record of what operators did is written once."""

from django.db import migrations

from myproject.append_only import append_only_triggers


class Migration(migrations.Migration):

    dependencies = [("jobs", "0001_initial")]

    operations = [append_only_triggers("jobs_steeringevent")]
