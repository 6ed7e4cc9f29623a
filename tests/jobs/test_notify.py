"""The word that a job is done, and progress, on a real Redis; and that nobody depends on either."""

from __future__ import annotations

import threading
import time

import pytest

from myproject.jobs import notify, progress
from myproject.jobs.publishing import publisher
from tests.jobs.workflow_app import make_app
from tests.servers.processes import wait_until


@pytest.fixture(params=["redis_server", "valkey_server"])
def app(request):
    return make_app(broker_url=request.getfixturevalue(request.param).fresh_url())


@pytest.fixture
def dead():
    """An app whose broker does not answer."""
    return make_app(broker_url="redis://127.0.0.1:1/0")


def test_a_listener_is_woken_by_the_end_of_its_job(app):
    with notify.listening(app, {"a", "b"}) as listener:
        listener.wait(30)  # begins to listen, and returns so that the caller looks first
        assert listener.listens
        threading.Timer(0.2, notify.tell, (app, "b")).start()
        begun = time.monotonic()
        listener.wait(60)

    assert time.monotonic() - begun < 30


def test_a_listener_hears_nothing_of_other_jobs(app):
    with notify.listening(app, {"a"}) as listener:
        listener.wait(30)
        notify.tell(app, "z")
        notify.courier(app).flush(30)
        begun = time.monotonic()
        listener.wait(0.3)

    assert time.monotonic() - begun >= 0.3


def test_a_listener_that_loses_its_connection_sleeps_instead(app):
    with notify.listening(app, {"a"}) as listener:
        listener.wait(30)
        publisher(app).commands(("CLIENT", "KILL", "TYPE", "pubsub"))
        for _ in range(3):
            listener.wait(0.01)

        assert not listener.listens


def test_nobody_is_told_through_a_dead_broker_and_nothing_is_raised(dead):
    begun = time.monotonic()
    notify.tell(dead, "a")
    notify.show(dead, "a", "1")
    with notify.listening(dead, {"a"}) as listener:
        listener.wait(0.01)
        listener.wait(0.01)
        assert not listener.listens
    assert notify.shown(dead, "a") is None
    assert time.monotonic() - begun < 30


def test_other_brokers_have_no_channel():
    app = make_app(broker_url="memory://")

    assert notify.courier(app) is None
    notify.tell(app, "a")
    assert progress.read(app, "a", epoch=0) is None


def test_progress_is_that_of_the_life_that_shows_it(app):
    progress.show(app, "a", epoch=2, meta={"status": "PROGRESS", "result": 7})
    wait_until(lambda: progress.read(app, "a", epoch=2), timeout=30, what="the progress")

    assert progress.read(app, "a", epoch=2) == {"status": "PROGRESS", "result": 7}
    assert progress.read(app, "a", epoch=3) is None
    assert progress.read(app, "b", epoch=2) is None


def test_the_end_of_a_job_takes_its_progress_back(app):
    progress.show(app, "a", epoch=0, meta={"status": "PROGRESS"})
    wait_until(lambda: progress.read(app, "a", epoch=0), timeout=30, what="the progress")
    notify.tell(app, "a")

    wait_until(lambda: progress.read(app, "a", epoch=0) is None, timeout=30, what="its end")


def test_a_task_that_ends_at_once_shows_nothing(app, monkeypatch):
    monkeypatch.setattr(notify, "PACE", 60)
    progress.show(app, "a", epoch=0, meta={"status": "STARTED"})
    notify.tell(app, "a")
    notify.courier(app).flush(30)

    commands = publisher(app).commands(("EXISTS", f"{publisher(app).prefix}jobs:progress:a"))
    assert commands == [0]


def test_a_child_has_a_courier_of_its_own(app, monkeypatch):
    first = notify.courier(app)
    monkeypatch.setattr(notify.os, "getpid", lambda: first.pid + 1)

    assert notify.courier(app) is not first
