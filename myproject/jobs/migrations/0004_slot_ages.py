"""The places of concurrency keys tell their age, so that free ones are pruned."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("jobs", "0003_fingerprints")]

    operations = [
        migrations.AddField(
            model_name="concurrencyslot",
            name="created_at",
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AddIndex(
            model_name="concurrencyslot",
            index=models.Index(fields=["created_at"], name="job_slot_created"),
        ),
    ]
