"""Structured logs: JSON, or plain and coloured in a terminal, and never a secret or a customer's data.

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
    r"pass(word|wd)?|secret|token|api_?key|authorization|cookie|signature|card|cvv|otp|e?mail(_address)?$|phone|"
    r"recipient|first_name|last_name|full_name|^address|^args$|^kwargs$|^argsrepr$|^kwargsrepr$",
    re.IGNORECASE,
)
_MAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+")
_URL_PASSWORD = re.compile(r"(\w+://[^:/@\s]*):[^@/\s]+@")
REDACTED = "[redacted]"


def _clean(name: str, value: Any) -> Any:
    if _SENSITIVE_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\1:{REDACTED}@", _MAIL.sub(REDACTED, value))
    if isinstance(value, dict):
        return {key: _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", inner) for inner in value]
    return value


def redact(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Blank values whose name says secret or personal, and mail addresses and URL passwords within any text.

    Looks into nested values too: Celery logs a failed task with its arguments under `data`.
    """
    for name, value in event.items():
        event[name] = _clean(name, value)
    return event


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

    `format_name` is "json", "console" or "auto" (console when the error stream is a terminal).
    """
    console = format_name == "console" or (format_name == "auto" and sys.stderr.isatty())
    last: list[Any] = (
        [redact, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if console
        else [structlog.processors.format_exc_info, redact, structlog.processors.JSONRenderer()]
    )
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
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
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
            "django_structlog": {"level": "WARNING"},
        },
    }
    logging.config.dictConfig(settings)
    return settings


@signals.task_prerun.connect
def _bind_task(task_id: str, task: Any, **_: Any) -> None:
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task_id=task_id, task=task.name)


@signals.task_postrun.connect
def _unbind_task(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()
