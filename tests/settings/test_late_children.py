"""A child of a pool that comes late is waited for: the next one would not be sooner."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.servers.processes import Process, wait_until

QUEUE = "default"

pytestmark = [pytest.mark.slow, pytest.mark.server]


def test_a_child_that_is_late_is_not_killed(redis_server: Any, worker: Callable[..., Process], tmp_path: Path) -> None:
    # Given a worker with one process
    record, url = tmp_path / "record", redis_server.fresh_url()
    record.touch()
    env = {
        "DJANGO_SETTINGS_MODULE": "myproject.settings.test",
        "STATE_DIR": str(tmp_path / "state"),
        "TEST_RECORD": str(record),
        "CELERY_BROKER_URL": url,
        "CELERY_RESULT_BACKEND": "cache+memory://",
    }
    process = worker(env=env, queues=[QUEUE], app="tests.settings.late_app", extra=("--concurrency", "1"))
    process.stop_signal = signal.SIGKILL
    client = Celery("client", broker=url)

    def ran(count: int) -> list[int]:
        wait_until(lambda: len(record.read_text().split()) >= count, timeout=90, what=f"{count} tasks")
        return [int(pid) for pid in record.read_text().split()]

    client.send_task("tests.record_process", queue=QUEUE)
    [first] = ran(1)
    # When its process dies while the machine is so busy that another one takes 6 s to be ready
    record.with_suffix(".late").touch()
    os.kill(first, signal.SIGKILL)
    client.send_task("tests.record_process", queue=QUEUE)
    # Then that one runs what waits, and no other had to be started
    [_, second] = ran(2)
    assert second != first
    assert "Timed out waiting for UP message" not in process.log_file.read_text()
