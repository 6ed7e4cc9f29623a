"""Whether tasks run in the caller's process, asked at every call of a task: `app.conf` alone would cost it 10 us."""

from __future__ import annotations

from typing import Any

from celery import Celery
from django.core.signals import setting_changed

_configured: dict[Celery, bool] = {}


def is_eager(app: Celery) -> bool:
    """Return `task_always_eager` as the app has it now.

    What a program sets on `app.conf` stands in one dictionary (`changes`: celery.utils.collections.ConfigurationView,
    Celery 5.7). What the app was configured with is remembered until Django says that settings were overridden.
    """
    changed = (app.conf.changes or {}).get("task_always_eager")
    if changed is not None:
        return bool(changed)
    found = _configured.get(app)
    if found is None:
        found = _configured[app] = bool(app.conf.task_always_eager)
    return found


def _forget(*, setting: str, **_: Any) -> None:
    if setting.startswith("CELERY_"):
        _configured.clear()


setting_changed.connect(_forget)
