"""How tasks are retried: by the class of the exception, with exponential backoff and jitter."""

from __future__ import annotations

from typing import Any

from celery import Task
from django.db import InterfaceError, OperationalError

from myproject.errors import RetryableError, UnknownOutcomeError
from myproject.states import TransitionLost


class PatientTask(Task):  # type: ignore[misc]  # Celery ships no types
    """A task whose retry waits as long as the other side asked for (`RetryableError.retry_after`), if it did.

    Celery part relied on: autoretry ends in `Task.retry(exc=..., countdown=...)` (celery.app.autoretry, Celery 5.7).
    """

    abstract = True

    def retry(self, *args: Any, **options: Any) -> Any:
        """Send the task again; the other side's wish wins over our own backoff."""
        asked = getattr(options.get("exc"), "retry_after", None)
        if asked is not None:
            options["countdown"] = asked
        return super().retry(*args, **options)


#: Options for `@shared_task(bind=True, **RETRY)`. Retryable and unknown outcomes (every action looks up before it
#: sends again), lost races and database trouble (lock waits, deadlocks, lost connections) are tried again after about
#: 1, 2, 4 ... 60 s; everything else is terminal. Ten tries span five minutes, after that the sweep takes over.
RETRY: dict[str, Any] = {
    "base": PatientTask,
    "autoretry_for": (RetryableError, UnknownOutcomeError, TransitionLost, OperationalError, InterfaceError),
    "retry_backoff": 1,
    "retry_backoff_max": 60,
    "retry_jitter": True,
    "max_retries": 10,
    "default_retry_delay": 5,  # seconds after a killed pool process, which has no exception to go by
}
