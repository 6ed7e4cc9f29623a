"""The errors that cross a boundary, and what each outcome means for a retry.

Retryable: nothing happened or it is safe to do again. Terminal: it will never work. Unknown: it may have happened
(a timeout after sending); look it up before doing it again. The class decides, never `except Exception`.
"""

from __future__ import annotations

from typing import Any


class AppError(Exception):
    """An expected error with a stable `code`, a sentence for its reader and typed fields.

    `status` is the HTTP status that the API answers with; `reader` names who reads the sentence.
    """

    code = "error"
    status = 400
    reader = "caller"

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields


class InvalidInput(AppError):
    """A value of the caller's is wrong; `field` names it."""

    code = "invalid_input"
    status = 422

    def __init__(self, message: str, *, field: str, **fields: Any) -> None:
        super().__init__(message, field=field, **fields)
        self.field = field


class NotFound(AppError):
    """There is no such thing, or it is not the caller's to see."""

    code = "not_found"
    status = 404


class Conflict(AppError):
    """The request does not fit the present state."""

    code = "conflict"
    status = 409


class RetryableError(AppError):
    """Nothing was done; the same call may succeed later. `retry_after` is in seconds, if the other side named one."""

    code = "try_again"
    status = 503
    reader = "operator"

    def __init__(self, message: str, *, retry_after: float | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.retry_after = retry_after


class OutageError(RetryableError):
    """The other side is away as a whole. Waiting for it uses up none of a task's retries."""

    code = "outage"


class TerminalError(AppError):
    """It will not work however often it is tried."""

    code = "terminal"
    status = 422
    reader = "operator"


class UnknownOutcomeError(AppError):
    """It may or may not have happened: look it up before doing it again."""

    code = "unknown_outcome"
    status = 502
    reader = "operator"
