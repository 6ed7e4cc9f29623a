"""The schedule: rows of django-celery-beat that the settings sow once and operators own from then on.

Parts of django-celery-beat 2.9 relied on: `DatabaseScheduler.Entry`, and that `update_from_dict` makes each entry of
CELERY_BEAT_SCHEDULE by `Entry.from_entry`.
"""

from __future__ import annotations

from typing import Any

from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry


class SeedEntry(ModelEntry):
    """A row of the schedule; one that is there already is taken as it is."""

    @classmethod
    def from_entry(cls, name: str, app: Any = None, **entry: Any) -> SeedEntry:
        """Return the entry called `name`, made from the settings if there is none."""
        row = PeriodicTask.objects.filter(name=name).first()
        if row is None:
            row, _ = PeriodicTask.objects.get_or_create(name=name, defaults=cls._unpack_fields(**entry))
        return cls(row, app=app)


class SeedingDatabaseScheduler(DatabaseScheduler):
    """Makes the entries of CELERY_BEAT_SCHEDULE that are absent, and leaves every other row alone.

    The stock scheduler writes interval and expiry of every entry back at each start of beat, over what an operator
    changed. An entry that must not run is disabled; a deleted one is made again at the next start.
    """

    Entry = SeedEntry
