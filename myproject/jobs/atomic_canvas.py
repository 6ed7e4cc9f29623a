"""Making each call of a group, a chain or a chord one transaction. Imports no models: Django's start calls it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from celery import canvas
from django.db import transaction


def install() -> None:
    """Make each call of a group, a chain or a chord one transaction, for apps whose results are rows.

    They send their members one after the other. Without a transaction around them a process that dies in between
    leaves a chord that can never be complete.
    """
    kinds: tuple[Any, ...] = (canvas.group, canvas._chain, canvas._chord)  # type: ignore[attr-defined]
    for kind in kinds:
        if not hasattr(kind.apply_async, "__wrapped__"):
            kind.apply_async = _in_one_transaction(kind.apply_async)


def _in_one_transaction(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def apply_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        app = self.app
        if app.conf.task_always_eager or not getattr(app.backend, "keeps_rows", False):
            return method(self, *args, **kwargs)
        with transaction.atomic():
            return method(self, *args, **kwargs)

    return apply_async
