"""POST /webhooks/juspay: the provider tells that something changed.

A plain view, because it must answer within milliseconds: check the sender, read three names, insert one row. Nothing
else of the body is kept; the truth is read back later.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from myproject.api.problems import CONTENT_TYPE, problem_body
from orders.actions.webhooks import SUPPORTED_EVENTS, receive_webhook

#: An order object is about 2 KB, one more refund of it 0.4 KB: this holds several hundred refunds.
MAX_BODY_BYTES = 256 * 1024
# Printable ASCII without blanks, as long as the columns: whatever else stands there is not the provider's.
EVENT_ID = re.compile(r"[\x21-\x7e]{1,128}")
EVENT_NAME = re.compile(r"[A-Z0-9_]{1,64}")
ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class BadWebhook(Exception):
    """The body is not a webhook. The sender reads the sentence, which repeats nothing of the body."""


@csrf_exempt
def receive_juspay(request: HttpRequest) -> HttpResponse:
    """Take one webhook. Known senders get 200 for anything well-formed, so that the provider stops sending it again."""
    if request.method != "POST":
        answer = _problem(405, "method_not_allowed", "Webhooks are sent by POST.")
        answer["Allow"] = "POST"
        return answer
    if not _is_sender(request.META.get("HTTP_AUTHORIZATION", "")):
        answer = _problem(401, "not_authenticated", "User name or password is wrong.")
        answer["WWW-Authenticate"] = 'Basic realm="webhooks"'
        return answer
    content = request.read(MAX_BODY_BYTES + 1)
    if len(content) > MAX_BODY_BYTES:
        return _problem(413, "too_large", f"A webhook has at most {MAX_BODY_BYTES} bytes.")
    try:
        event_id, event_name, order_id = _read_event(content)
    except BadWebhook as error:
        return _problem(400, "bad_webhook", str(error))
    event = receive_webhook(
        provider="juspay",
        event_id=event_id,
        event_name=event_name,
        provider_order_id=order_id,
        now=timezone.now(),
    )
    return JsonResponse({"status": event.status})


def _is_sender(header: str) -> bool:
    """Compare the raw header in constant time; without a configured password nobody is the sender."""
    user, password = settings.JUSPAY_WEBHOOK_USER, settings.JUSPAY_WEBHOOK_PASSWORD
    if not user or not password:
        return False
    expected = b"Basic " + base64.b64encode(f"{user}:{password}".encode())
    return hmac.compare_digest(header.encode("utf-8", "surrogateescape"), expected)


def _read_event(content: bytes) -> tuple[str, str, str]:
    """Return event id, event name and order id. Raises BadWebhook."""
    try:
        body = json.loads(content.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadWebhook("The body is not JSON with unique keys.") from error
    event_id = _read_name(body, "id", EVENT_ID)
    event_name = _read_name(body, "event_name", EVENT_NAME)
    inner = body.get("content")
    order = inner.get("order") if isinstance(inner, dict) else None
    if event_name not in SUPPORTED_EVENTS and not isinstance(order, dict):
        return event_id, event_name, ""  # about something that is not an order
    if not isinstance(order, dict):
        raise BadWebhook("content.order is missing.")
    return event_id, event_name, _read_name(order, "order_id", ORDER_ID)


def _read_name(found: object, key: str, allowed: re.Pattern[str]) -> str:
    value = found.get(key) if isinstance(found, dict) else None
    if not isinstance(value, str) or not allowed.fullmatch(value):
        raise BadWebhook(f"{key} is missing or not a name.")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")  # two readers of such a body may see two different orders
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _problem(status: int, code: str, detail: str) -> HttpResponse:
    return JsonResponse(problem_body(status=status, code=code, detail=detail), status=status, content_type=CONTENT_TYPE)
