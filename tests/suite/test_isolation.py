"""A test finds its process as the run began, whatever the tests before it did to it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import structlog
from celery import Celery, _state
from celery.app.log import Logging
from celery.contrib.testing.worker import start_worker

from tests.isolation import process_put_back
from tests.servers.processes import ROOT

STEPS = """
import logging

import pytest
import structlog
from celery import Celery, current_app
from celery.contrib.testing.worker import start_worker


def test_first_a_worker_runs_in_this_process():
    app = Celery("steps", broker="memory://", backend="cache+memory://", set_as_current=False)
    with start_worker(app, perform_ping_check=False, shutdown_timeout=30):
        assert logging.getLogger().level == logging.ERROR
        assert current_app.main == "steps"
    structlog.contextvars.bind_contextvars(order="W1")
    logging.disable(logging.WARNING)
    logging.getLogger("orders").disabled = True


@pytest.mark.parametrize("logger", ["orders", "orders.actions.sweep", "myproject.jobs.relay"])
def test_then_lines_are_seen(caplog, logger):
    logging.getLogger(logger).warning("one")
    structlog.get_logger(logger).warning("two")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "W1" not in str([record.__dict__ for record in caplog.records])
    assert current_app.main == "myproject"
"""


@pytest.mark.slow
def test_lines_are_seen_after_a_worker_ran_in_the_same_process(tmp_path: Path):
    file = tmp_path / "test_steps.py"
    file.write_text(STEPS)
    options = [
        "-c",
        ROOT / "pyproject.toml",
        "-o",
        f"cache_dir={tmp_path}",
        "-p",
        "no:randomly",
        "-p",
        "tests.isolation",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *map(str, options), str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "4 passed" in done.stdout


def test_a_worker_in_this_process_leaves_it_as_it_was():
    root, app = logging.getLogger(), Celery("own", broker="memory://", backend="cache+memory://", set_as_current=False)

    def state() -> list[object]:
        apps = [_state._tls.current_app, _state.default_app, Logging._setup]  # type: ignore[attr-defined]
        variables = sorted(name for name in os.environ if name.startswith(("CELERY_", "_MP_")))
        task = logging.getLogger("celery.task")
        return [*apps, root.level, list(root.handlers), task.level, list(task.handlers), task.propagate, variables]

    before = state()
    with process_put_back():
        with start_worker(app, perform_ping_check=False, shutdown_timeout=30):
            pass
        assert root.level == logging.ERROR
        assert state() != before
    assert state() == before


def test_structlog_is_put_back():
    before = structlog.get_config()
    processors = list(before["processors"])
    with process_put_back():
        structlog.contextvars.bind_contextvars(order="W1")
        structlog.configure(processors=[], cache_logger_on_first_use=False)
    assert structlog.get_config() == before
    assert structlog.get_config()["processors"] == processors
    assert structlog.contextvars.get_contextvars() == {}


def test_levels_and_switches_of_loggers_are_put_back():
    there = logging.getLogger("tests.isolation.there")
    with process_put_back():
        made = logging.getLogger(f"tests.isolation.{uuid.uuid4().hex}")
        for logger in (there, made):
            logger.setLevel("ERROR")
            logger.addHandler(logging.NullHandler())
            logger.propagate, logger.disabled = False, True
        logging.disable(logging.ERROR)
        assert not there.isEnabledFor(logging.ERROR)
    for logger in (there, made):
        assert (logger.level, logger.handlers, logger.propagate, logger.disabled) == (logging.NOTSET, [], True, False)
        assert logger.isEnabledFor(logging.WARNING)
