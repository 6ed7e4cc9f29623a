"""The backend behind ours: CELERY_RESULT_BACKEND, for everything that has no row."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.app.backends import by_url
from celery.backends.base import Backend, DisabledBackend

OURS = "myproject.jobs.backend"


def make_delegate(app: Celery) -> Backend:
    """Return the backend that the app's configuration names, made for this app as Celery makes it."""
    find: Any = by_url  # the types that are about for it are of another version
    backend, url = find(configured(app), app.loader)
    found: Backend = backend(app=app, url=url)
    return found


def configured(app: Celery) -> Any:
    """Return the app's `result_backend` as configured: a URL, an alias such as "django-db", or a class.

    `Celery(backend=...)` writes its argument over the setting of that name; what stood there is found underneath.
    """
    found = app.conf.result_backend
    if not is_ours(found):
        return found or DisabledBackend
    layers = [layer.get("result_backend") for layer in app.conf.maps or ()]
    return next((layer for layer in layers if layer and not is_ours(layer)), DisabledBackend)


def is_ours(backend: Any) -> bool:
    """Tell whether a value of the setting means the backend of rows."""
    name = backend if isinstance(backend, str) else f"{getattr(backend, '__module__', '')}:"
    return str(name).startswith(OURS)
