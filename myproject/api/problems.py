"""Every error of the API as problem details (RFC 9457, `application/problem+json`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from myproject.errors import AppError, RetryableError
from myproject.jobs.errors import is_passing
from myproject.money import MoneyError

logger = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"

LATER = "The request could not be completed now; try again later."

#: Seconds after which to come again: most lock waits and switches of primaries are over, and a retry costs little.
DATABASE_RETRY_AFTER = 1


def problem_body(*, status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Return the members of a problem: `type` names the code, `errors` the fields (RFC 9457, section 3)."""
    body: dict[str, Any] = {
        "type": f"urn:problem:{code.replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    return body


def _field_errors(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Flatten the REST framework's nested errors to one entry per field, as `lines[3].quantity`."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            if isinstance(name, int):  # a list of objects reports the wrong ones by position
                yield from _field_errors(inner, f"{path}[{name}]")
                continue
            label = "" if name == "non_field_errors" else str(name)
            yield from _field_errors(inner, f"{path}.{label}".strip(".") if label else path)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, Mapping | list)
            yield from _field_errors(inner, f"{path}[{index}]" if nested else path)
    else:
        yield {"field": path, "detail": str(detail)}


class BodyTooLarge(exceptions.APIException):
    """The body is over the limit, which the sentence names."""

    status_code = 413
    default_code = "too_large"

    def __init__(self) -> None:
        super().__init__(f"The body of a request has at most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes.")


def _from_app_error(error: AppError) -> Response:
    errors = [{"field": str(error.fields["field"]), "detail": error.message}] if "field" in error.fields else None
    detail = error.message if error.reader == "caller" else LATER
    response = Response(
        problem_body(status=error.status, code=error.code, detail=detail, errors=errors),
        status=error.status,
        content_type=CONTENT_TYPE,
    )
    if isinstance(error, RetryableError):
        response["Retry-After"] = str(round(error.retry_after or 5))
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("request failed", code=error.code, reason=error.message)
    return response


def _from_validation(error: exceptions.ValidationError) -> Response:
    errors = list(_field_errors(error.detail))
    detail = f"{len(errors)} field{'s' if len(errors) != 1 else ''} cannot be accepted; `errors` names each."
    body = problem_body(status=422, code="invalid_input", detail=detail, errors=errors)
    return Response(body, status=422, content_type=CONTENT_TYPE)


def _from_api_exception(error: exceptions.APIException) -> Response:
    response = Response(
        problem_body(status=error.status_code, code=str(error.default_code), detail=str(error.detail)),
        status=error.status_code,
        content_type=CONTENT_TYPE,
    )
    challenge = getattr(error, "auth_header", None)
    if challenge:
        response["WWW-Authenticate"] = challenge
    wait = getattr(error, "wait", None)  # seconds, of a throttled request
    if wait:
        response["Retry-After"] = str(int(wait) + 1)
    return response


def _translated(error: Exception) -> Exception:
    """Return the API's own exception for one of Django's or of the database's; others as they are."""
    if isinstance(error, OperationalError | InterfaceError) or is_passing(error):
        logger.warning("database could not do it now", error=str(error))
        return RetryableError("The database could not do it now.", retry_after=DATABASE_RETRY_AFTER)
    if isinstance(error, Http404):
        return exceptions.NotFound("There is no such thing, or it is not yours to see.")
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(error, RequestDataTooBig):
        return BodyTooLarge()
    if isinstance(error, SuspiciousOperation):
        return exceptions.ParseError()
    return error


def problem_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an exception of a view into a problem; None (a plain 500) for what nobody expected."""
    set_rollback()
    request = context.get("request")
    if request is not None:  # a problem is JSON, whatever the view renders otherwise
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
    error = _translated(error)
    if isinstance(error, AppError):
        return _from_app_error(error)
    if isinstance(error, MoneyError):
        field = str(error).partition(":")[0]
        errors = [{"field": field, "detail": str(error)}]
        body = problem_body(status=422, code="invalid_input", detail=str(error), errors=errors)
        return Response(body, status=422, content_type=CONTENT_TYPE)
    if isinstance(error, exceptions.ValidationError):
        return _from_validation(error)
    if isinstance(error, exceptions.APIException):
        return _from_api_exception(error)
    return None


def _plain(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    if request.path.startswith(("/api/", "/webhooks/")):
        return JsonResponse(
            problem_body(status=status, code=code, detail=detail), status=status, content_type=CONTENT_TYPE
        )
    return HttpResponse(f"<h1>{HTTPStatus(status).phrase}</h1><p>{detail}</p>", status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refuses before any view sees it: a wrong host, a body over the limit."""
    if isinstance(exception, RequestDataTooBig):
        return _plain(request, 413, BodyTooLarge.default_code, str(BodyTooLarge().detail))
    return _plain(request, 400, "bad_request", "The request cannot be accepted as it was sent.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that the caller may not make."""
    return _plain(request, 403, "permission_denied", "You may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that does not exist."""
    return _plain(request, 404, "not_found", "There is no such address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer when something broke that nobody expected; the log has the traceback under the request id.

    A database that refuses is expected: pages, webhooks and whatever runs before a view of the API are told when to
    come again.
    """
    error = sys.exc_info()[1]
    if error is not None and is_passing(error):
        answer = _plain(request, 503, RetryableError.code, LATER)
        answer["Retry-After"] = str(DATABASE_RETRY_AFTER)
        return answer
    return _plain(request, 500, "server_error", "Something broke on our side; it has been logged.")
