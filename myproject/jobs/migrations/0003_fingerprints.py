"""Jobs are found by the cause of their failures."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("jobs", "0002_append_only")]

    operations = [
        migrations.AddIndex(
            model_name="jobevent",
            index=models.Index(fields=["fingerprint", "job_id"], name="job_event_fingerprint"),
        ),
    ]
