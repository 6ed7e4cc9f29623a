"""How tasks are retried: by the class of the exception, with exponential backoff and jitter."""

from __future__ import annotations

from typing import Any

from myproject.errors import RetryableError, UnknownOutcomeError
from myproject.states import TransitionLost

#: Options for `@shared_task(bind=True, **RETRY)`. Retryable and unknown outcomes (every action looks up before it
#: sends again) and lost races are tried again after about 1, 2, 4 ... 60 s; everything else is terminal. Ten tries
#: span five minutes. Trouble of the database is the platform's: it uses up no try.
RETRY: dict[str, Any] = {
    "autoretry_for": (RetryableError, UnknownOutcomeError, TransitionLost),
    "retry_backoff": 1,
    "retry_backoff_max": 60,
    "retry_jitter": True,
    "max_retries": 10,
}
#: The same for what has to happen in the end and only waits for somebody else: for days, at most ten minutes apart.
#: Such a job is never given up overnight, so nobody has to look for what it left undone.
PERSISTENT: dict[str, Any] = {**RETRY, "retry_backoff_max": 600, "max_retries": 1_000}
