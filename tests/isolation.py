"""What a test does to its process is put back: logging, Celery's state and structlog's, whatever the test used.

Celery's test worker (`celery.contrib.testing.worker`) is why. It takes the root logger's handlers, raises its level to
ERROR, makes its app the current and the default one, and leaves it so: a later test of the same process then finds no
line in `caplog`, and shared tasks belong to an app that is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
from celery import _state
from celery.app.log import Logging

#: What Celery's logging writes into the environment, which every program that a test starts would inherit.
VARIABLES = ("CELERY_LOG_", "_MP_FORK_")


@dataclass(frozen=True)
class LoggerState:
    """What a test can change of one logger."""

    level: int
    handlers: tuple[logging.Handler, ...]
    filters: tuple[Any, ...]
    propagate: bool
    disabled: bool

    @classmethod
    def of(cls, logger: logging.Logger) -> LoggerState:
        """Read it."""
        handlers, filters = tuple(logger.handlers), tuple(logger.filters)
        return cls(logger.level, handlers, filters, logger.propagate, logger.disabled)

    def put_back(self, logger: logging.Logger) -> None:
        """Write it."""
        logger.setLevel(self.level)  # also forgets which levels the loggers below have found enabled
        logger.handlers, logger.filters = list(self.handlers), list(self.filters)
        logger.propagate, logger.disabled = self.propagate, self.disabled


NEW = LoggerState(level=logging.NOTSET, handlers=(), filters=(), propagate=True, disabled=False)


@contextlib.contextmanager
def process_put_back() -> Iterator[None]:
    """Put back at the end of the block what its code has changed of this process."""
    with logging_put_back(), celery_put_back(), structlog_put_back():
        yield


@contextlib.contextmanager
def logging_put_back() -> Iterator[None]:
    """Put back the loggers that there are; one that is made meanwhile becomes as new."""
    root = logging.getLogger()
    before = {logger: LoggerState.of(logger) for logger in _loggers()}
    disabled = root.manager.disable
    shown = warnings.showwarning, logging._warnings_showwarning  # type: ignore[attr-defined]
    try:
        yield
    finally:
        root.manager.disable = disabled
        warnings.showwarning, logging._warnings_showwarning = shown  # type: ignore[attr-defined]
        for logger in _loggers():
            state = before.get(logger, NEW)
            if LoggerState.of(logger) != state:
                state.put_back(logger)


@contextlib.contextmanager
def celery_put_back() -> Iterator[None]:
    """Put back the current and the default app, and what Celery remembers of its logging."""
    state: Any = _state  # its types that are about are of another version, as the next one's
    log: Any = Logging
    current, default = state._tls.current_app, state.default_app
    blocks, set_up = state._task_join_will_block, log._setup
    variables = _variables()
    try:
        yield
    finally:
        state._tls.current_app, state.default_app, state._task_join_will_block = current, default, blocks
        log._setup = set_up
        for name in _variables().keys() - variables.keys():
            del os.environ[name]
        os.environ.update(variables)


@contextlib.contextmanager
def structlog_put_back() -> Iterator[None]:
    """Put back structlog's configuration, and forget the names that were bound to this thread's lines."""
    configured, before = structlog.is_configured(), structlog.get_config()
    processors = list(before["processors"])
    try:
        yield
    finally:
        structlog.contextvars.clear_contextvars()
        before["processors"][:] = processors  # `structlog.testing.capture_logs` changes the list itself
        if not configured:
            structlog.reset_defaults()
        elif structlog.get_config() != before:
            structlog.configure(**before)


def _loggers() -> list[logging.Logger]:
    root = logging.getLogger()
    return [root, *(one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger))]


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Hold it for every test, with its fixtures."""
    with process_put_back():
        return (yield)
