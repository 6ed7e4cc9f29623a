"""What the state machine plays on: kills that are exceptions, a clock that it moves, and no waiting."""

from __future__ import annotations

import itertools
import os
import types
from functools import partial
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connections

from myproject.jobs import controls, deaths, failpoints, ledger, on_commit, running
from myproject.jobs.relay import courier, leases
from myproject.jobs.statements import dialect
from tests.jobs.life_tasks import Clock, Killed, Trouble


def set_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what would kill this process, wait, or ask the database for its own time."""

    def kill(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(failpoints, "os", types.SimpleNamespace(kill=kill, getpid=os.getpid))
    monkeypatch.setattr(failpoints, "FailpointError", Trouble)
    monkeypatch.setattr(running, "QUICK_TRIES", 1)
    monkeypatch.setattr(
        running, "time", types.SimpleNamespace(monotonic=partial(next, itertools.count(step=60)), sleep=int)
    )
    monkeypatch.setenv("JOBS_ALONE", "1")
    for name, value in dict(vars(dialect())).items():
        if isinstance(value, str):
            monkeypatch.setattr(dialect(), name, value.replace("'now'", "played_now()"))
    controls.forget()
    ledger._insert_text.cache_clear()
    connections[DEFAULT_DB_ALIAS].ensure_connection()
    connections[DEFAULT_DB_ALIAS].connection.create_function("played_now", 0, Clock.text)
    # The machine sets its own; here they are noted, to be put back.
    for module, name in (
        (on_commit, "publish"), (courier, "publish"), (running, "make_holder"), (deaths, "may_live"),
        (leases, "is_dead"), (deaths, "BE_GONE"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, getattr(module, name))
