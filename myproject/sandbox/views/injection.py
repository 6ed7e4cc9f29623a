"""Faults of the HTTP surface, put around the part of a view that applies something."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from ..errors import ApiError
from ..faults.choosing import choose_fault
from ..faults.rules import Fault
from .requests import answer_json

logger = logging.getLogger(__name__)

ERROR_BODY = {"status": "ERROR", "status_id": -1, "error_code": "internal.error", "error_message": "Try again later."}


def answer_with_faults(
    request: HttpRequest, *, endpoint: str, order_id: str, apply: Callable[[], HttpResponse]
) -> HttpResponse:
    """Return what `apply` answers, unless a fault rule takes this call."""
    fault = choose_fault(endpoint=endpoint, order_id=order_id)
    return apply() if fault is None else answer_fault(request, fault=fault, apply=apply)


def answer_fault(request: HttpRequest, *, fault: Fault, apply: Callable[[], HttpResponse]) -> HttpResponse:
    """Carry out one fault around `apply`."""
    logger.info("fault %s on %s %s", fault.kind, request.method, request.path)
    if fault.kind == "latency":
        time.sleep(fault.seconds)
        return apply()
    if fault.kind == "timeout_before":
        return _hold_and_drop(request, fault.seconds)
    if fault.kind == "timeout_after":
        _apply_or_refuse(apply)
        return _hold_and_drop(request, fault.seconds)
    if fault.kind == "error_body":
        return answer_json(ERROR_BODY)
    answer = _apply_or_refuse(apply) if fault.applied else None
    if fault.kind == "malformed":
        # Half of the real body, or the beginning of one: no JSON either way.
        content = answer.content[: len(answer.content) // 2] if answer else b'{"status":'
        return HttpResponse(content, content_type="application/json")
    failure = answer_json({"status": "error", "error_code": "internal.error"}, status=int(fault.status))
    if fault.status in (429, 503):
        failure["Retry-After"] = "1"
    return failure


def _apply_or_refuse(apply: Callable[[], HttpResponse]) -> HttpResponse:
    """Return the answer of `apply`, a refusal included: the caller of a faulty call must not see that one either."""
    try:
        return apply()
    except ApiError as error:
        return answer_json(error.body, status=error.http_status)


def _hold_and_drop(request: HttpRequest, seconds: float) -> HttpResponse:
    """Say nothing for `seconds`, then cut the connection without an answer."""
    time.sleep(seconds)
    connection = request.META.get("gunicorn.socket")
    if connection is not None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            logger.debug("the client had already gone")
    answer = HttpResponse(status=504)  # written into the closed connection: nobody reads it
    answer["Connection"] = "close"
    return answer
