"""Reading a merchant's request: who it is, and what its body says. Every refusal is the provider's own answer."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import re
from collections.abc import Callable
from decimal import Decimal
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse

from .. import errors
from ..configuration import configuration

logger = logging.getLogger(__name__)

FORM = "application/x-www-form-urlencoded"
# Control characters, and halves of surrogate pairs, which JSON can write and no database can store.
UNWANTED = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def answer_json(body: Any, *, status: int = 200) -> HttpResponse:
    """Return a JSON answer."""
    content = json.dumps(body, separators=(",", ":")).encode()
    # With its length the answer leaves in one piece; gunicorn would send it in chunks without.
    headers = {"Content-Length": str(len(content))}
    return HttpResponse(content, content_type="application/json", status=status, headers=headers)


def merchant_call(method: str) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Let a view answer one HTTP method to the authenticated merchant only, and turn ApiError into its answer."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def call(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            if request.method != method:
                answer = answer_json({"status": "error", "error_code": "method_not_allowed"}, status=405)
                answer["Allow"] = method
                return answer
            try:
                require_merchant(request)
                return view(request, **kwargs)
            except errors.ApiError as error:
                logger.debug("refused %s %s: %s", request.method, request.path, error)
                return answer_json(error.body, status=error.http_status)

        return call

    return decorate


def require_merchant(request: HttpRequest) -> None:
    """Check the key (as user, with an empty password) and the merchant id. Raises ApiError."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        credentials = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
    except ValueError:
        credentials = b""
    key, colon, password = credentials.partition(b":")
    if not colon or not hmac.compare_digest(key, configuration().api_key.encode()):
        raise errors.access_denied("Invalid API Key. Please pass a valid and active api key.")
    if password:
        raise errors.access_denied("The password of Basic authentication must be empty.")
    merchant = request.headers.get("x-merchantid", "")
    if not hmac.compare_digest(merchant.encode(), configuration().merchant_id.encode()):
        raise errors.access_denied("The header x-merchantid is missing or names another merchant.")


def read_json(request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object of the body; decimals keep their digits. Raises ApiError."""
    if request.content_type != "application/json":
        raise errors.invalid_input("Content-Type", "application/json is required")
    try:
        body = json.loads(request.body, parse_float=Decimal)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise errors.invalid_input("body", "A JSON object is required")
    return body


def read_form(request: HttpRequest) -> dict[str, str]:
    """Return the form of the body: nothing when the body is of another kind, as a server that parses forms sees it."""
    return {key: str(value) for key, value in request.POST.items()} if request.content_type == FORM else {}


def read_text(body: dict[str, Any], name: str, *, longest: int = 255) -> str:
    """Return an optional text of the body. Raises ApiError."""
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest or UNWANTED.search(value):
        raise errors.invalid_input(name, "Missing field or Invalid Value")
    return value
