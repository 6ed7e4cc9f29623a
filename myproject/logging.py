"""Structured logs: JSON, or plain and coloured in a terminal, and never a secret or a customer's data.

What belongs together is found by two names: `request_id`, made for each request and carried by the messages that it
publishes into their tasks and the tasks of those, and `order`, bound by the action that loads the order.

Source of the processor chain: structlog's documentation, "Standard Library Logging", rendering with
`ProcessorFormatter`.
"""

from __future__ import annotations

import logging.config
import re
import sys
from typing import Any

import structlog
from celery import signals

_SENSITIVE_NAME = re.compile(
    r"pass(word|wd)?|pwd|secret|token|api_?key|authorization|cookie|signature|card|cvv|otp|e?mail(_address)?$|phone|"
    r"recipient|first_name|last_name|full_name|^address|^args$|^kwargs$|^argsrepr$|^kwargsrepr$|"
    r"^ip(_address)?$|remote_addr|forwarded_for|user_?agent",
    re.IGNORECASE,
)
# Both start at the beginning of a word only: else a long word takes time in the square of its length.
_MAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+")
_URL_PASSWORD = re.compile(r"(?<!\w)(\w+://[^:/@\s\"']*):[^\s\"'<>,;]+@")
# Within a text, as in `password=x`, `"api_key": "x"` and `'HTTP_AUTHORIZATION': 'Basic x'`: the name, the sign between
# and a quoted or a bare value, of which the last is blanked.
_NAMED_SECRET = re.compile(
    r"((?:password|passwd|pwd|secret|token|api[_-]?key|signature)[\"']?\s*[=:]\s*)"
    r"(?:\"[^\"]*\"|'[^']*'|[\"']?[^\s\"',;&)}\]]+)",
    re.IGNORECASE,
)
_HEADER_SECRET = re.compile(r"((?:authorization|cookie)[\"']?\s*[=:]\s*[\"']?)[^\s\"'][^\"'\r\n]*", re.IGNORECASE)
_CREDENTIALS = re.compile(r"\b(Basic|Bearer)\s+[A-Za-z0-9+/._~-]{8,}={0,2}")
REDACTED = "[redacted]"


def redact_text(text: str) -> str:
    """Blank mail addresses, passwords of URLs, named secrets and credentials of HTTP headers within a text."""
    text = _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text)
    text = _HEADER_SECRET.sub(rf"\1{REDACTED}", text)
    text = _NAMED_SECRET.sub(rf"\1{REDACTED}", text)
    text = _CREDENTIALS.sub(rf"\1 {REDACTED}", text)
    return _MAIL.sub(REDACTED, text)


def _clean(name: str, value: Any) -> Any:
    if _SENSITIVE_NAME.search(name):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {redact_text(str(key)): _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", inner) for inner in value]
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode(errors="replace")
    text = value if isinstance(value, str) else repr(value)  # an exception or a request says whom it is about, too
    if name == "request":  # "GET /path?what=was&asked=for": a query holds what people look for
        text = re.sub(r"\?[^\s'\">]*", "", text)
    return redact_text(text)


def redact(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Blank values whose name says secret or personal, and what `redact_text` finds within any other value.

    Looks into nested values too: Celery logs a failed task with its arguments under `data`. What is no plain value is
    turned into text here, so that the renderer has nothing left to format.
    """
    for name, value in event.items():
        event[name] = _clean(name, value)
    return event


def redact_line(_logger: Any, _method: str, line: str) -> str:
    """Blank in a finished line of the console what only came together there.

    A line of JSON needs none of it, because its values are plain and clean, and cutting into it could break it.
    """
    return _MAIL.sub(REDACTED, _URL_PASSWORD.sub(rf"\1:{REDACTED}@", line))


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def logging_settings(*, format_name: str, level: str) -> dict[str, Any]:
    """Return the dictionary for `logging.config.dictConfig` and switch structlog to it.

    `format_name` is "json", "console" or "auto" (console when the error stream is a terminal). Exceptions become text
    before anything is blanked, and plain text: a rich traceback shows local variables.
    """
    console = format_name == "console" or (format_name == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    last: list[Any] = [renderer, redact_line] if console else [structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    settings: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    redact,
                    *last,
                ],
            }
        },
        "handlers": {"default": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["default"], "level": level},
        "loggers": {
            # Celery's own lines repeat task names at INFO for every message; results carry arguments and are dropped.
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
        },
    }
    logging.config.dictConfig(settings)
    return settings


def bind_order(number: str) -> None:
    """Put the order's number on every line that the current task or request writes from here on."""
    structlog.contextvars.bind_contextvars(order=number)


@signals.before_task_publish.connect
def _send_request_id(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """Give the message the request id of whoever publishes it; a retry inside a task passes its own on."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if request_id and headers is not None:
        headers.setdefault("request_id", request_id)


@signals.task_prerun.connect
def _bind_task(task_id: str, task: Any, **_: Any) -> None:
    if task.request.is_eager:  # it runs within its caller, whose names stay
        return
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task_id=task_id, task=task.name)
    request_id = getattr(task.request, "request_id", None)
    if isinstance(request_id, str):
        structlog.contextvars.bind_contextvars(request_id=request_id[:64])


@signals.task_postrun.connect
def _unbind_task(task: Any, **_: Any) -> None:
    if not task.request.is_eager:
        structlog.contextvars.clear_contextvars()
