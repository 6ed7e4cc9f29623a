"""`Idempotency-Key`: a POST that is repeated does its work once and gets the same answer.

Source: IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header-06), sections 2.2
to 2.7: missing key 400, same key with another request 422, first request still running 409.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.utils.encoders import JSONEncoder

from myproject.api.models import IdempotencyRecord
from myproject.errors import Conflict, InvalidInput

#: A request that has not been completed for this long died with its process: the work may be done again. Every action
#: behind it is safe to run twice. The longest view makes one call of at most 10 s.
ABANDONED_AFTER = timedelta(seconds=60)

#: How long answers are kept (the draft leaves it to the server); the cleanup task deletes older rows.
KEPT_FOR = timedelta(days=7)

_KEY = re.compile(r"[\x21-\x7e]{1,128}")

View = Callable[..., Response]


class KeyMissing(InvalidInput):
    """The header is required and absent or malformed."""

    code = "idempotency_key_missing"
    status = 400


class KeyReused(InvalidInput):
    """The key was used for another request."""

    code = "idempotency_key_reused"


class RequestInProgress(Conflict):
    """The first request with this key has not been answered yet."""

    code = "request_in_progress"


def _read_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key", "").strip().strip('"')
    if not _KEY.fullmatch(key):
        raise KeyMissing(
            "Idempotency-Key: this request creates something, so it needs a header of 1 to 128 visible characters "
            "that is new for each new request and the same when it is sent again.",
            field="Idempotency-Key",
        )
    return key


def _scope(request: Request) -> str:
    return f"user:{request.user.pk}" if request.user.is_authenticated else "anonymous"


def _fingerprint(request: Request) -> str:
    """Return a keyed hash of the request: a plain one of a body with a password could be guessed from the row."""
    value = f"{request.method} {request.path}\n".encode() + request._request.body
    return salted_hmac("idempotency", value, algorithm="sha256").hexdigest()


def _claim(request: Request, *, key: str, fingerprint: str, now: datetime) -> tuple[IdempotencyRecord, bool]:
    """Insert the record of a first request, or return the one that is there."""
    record = IdempotencyRecord(
        scope=_scope(request),
        key=key,
        method=request.method or "",
        path=request.path[:191],
        fingerprint=fingerprint,
        created_at=now,
    )
    try:
        with transaction.atomic():
            record.save(force_insert=True)
        return record, True
    except IntegrityError:
        return IdempotencyRecord.objects.get(scope=_scope(request), key=key), False


def _repeat(record: IdempotencyRecord, *, fingerprint: str, now: datetime) -> Response | None:
    """Return the stored answer, or None when the first request died and this one may take over."""
    if record.fingerprint != fingerprint:
        raise KeyReused("Idempotency-Key: it was used for another request; use a new key.", field="Idempotency-Key")
    if record.response_status is not None:
        return Response(record.response_body, status=record.response_status, headers={"Idempotent-Replay": "true"})
    taken = IdempotencyRecord.objects.filter(
        pk=record.pk, response_status=None, created_at=record.created_at, created_at__lt=now - ABANDONED_AFTER
    ).update(created_at=now)
    if not taken:
        raise RequestInProgress("The first request with this Idempotency-Key is still running; try again shortly.")
    return None


def idempotent(*, atomic: bool = True, body: type[BaseSerializer[Any]] | None = None) -> Callable[[View], View]:
    """Make a view's POST method safe to repeat; requires the `Idempotency-Key` header.

    With `atomic` the record and the view's effects are one transaction, which is the cheaper form; a view that calls
    the outside world says `atomic=False`. With `body` that serializer reads the body before the transaction, so that
    a long document does not hold the write lock, and the view gets what was read as `given`. The header is looked at
    first in either form. An error answer is not stored: the same key may be tried again.
    Raises KeyMissing, KeyReused, RequestInProgress, and ValidationError for a body that `body` does not accept.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def wrapper(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
            now = timezone.now()
            key = _read_key(request)
            fingerprint = _fingerprint(request)
            if body is not None:
                kwargs["given"] = _read_body(request, body)
            with transaction.atomic() if atomic else nullcontext():
                record, first = _claim(request, key=key, fingerprint=fingerprint, now=now)
                if not first:
                    answer = _repeat(record, fingerprint=fingerprint, now=now)
                    if answer is not None:
                        return answer
                try:
                    response = view(self, request, *args, **kwargs)
                except Exception:
                    if not atomic:
                        IdempotencyRecord.objects.filter(pk=record.pk).delete()
                    raise
                stored = json.loads(json.dumps(response.data, cls=JSONEncoder))
                IdempotencyRecord.objects.filter(pk=record.pk).update(
                    response_status=response.status_code, response_body=stored
                )
                return response

        wrapper.is_idempotent = True  # type: ignore[attr-defined]  # the documentation of the API names the header
        return wrapper

    return decorate


def _read_body(request: Request, body: type[BaseSerializer[Any]]) -> Any:
    data = body(data=request.data)
    data.is_valid(raise_exception=True)
    return data.validated_data


def delete_old_records(*, now: datetime) -> int:
    """Delete answers older than KEPT_FOR and return how many."""
    deleted, _ = IdempotencyRecord.objects.filter(created_at__lt=now - KEPT_FOR).delete()
    return deleted
