"""One stand-in for all tests of a process: its fault rules pick orders by the beginning of their id."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sandbox.merchant import Receiver, Sandbox

RULES = [
    {"endpoint": "session", "order": "LATE.*", "fault": "latency", "seconds": 0.3},
    {"endpoint": "session", "order": "ERR.*", "fault": "error", "status": 502, "times": 1},
    {"endpoint": "session", "order": "BUSY.*", "fault": "error", "status": 429, "times": 1},
    {"endpoint": "session", "order": "DONE.*", "fault": "error", "applied": True, "times": 1},
    {"endpoint": "session", "order": "FALSE.*", "fault": "error_body", "times": 1},
    {"endpoint": "session", "order": "BEFORE.*", "fault": "timeout_before", "seconds": 0.2, "times": 1},
    {"endpoint": "session", "order": "AFTER.*", "fault": "timeout_after", "seconds": 0.2, "times": 1},
    {"endpoint": "refund", "order": "RAFTER.*", "fault": "timeout_after", "seconds": 0, "times": 1},
    {"endpoint": "order_status", "order": "HALF.*", "fault": "malformed", "times": 1},
    {"endpoint": "payment_page", "order": "NOPAY.*", "fault": "decline", "status": "JUSPAY_DECLINED"},
    {"endpoint": "order_create", "order": "THIRD.*", "fault": "error", "status": 500, "every": 3},
    {"endpoint": "settlement", "order": "RFAIL.*", "fault": "refund_failure"},
    {"endpoint": "settlement", "order": "RHUMAN.*", "fault": "refund_manual_review"},
    {"endpoint": "settlement", "order": "RLATE.*", "fault": "late", "seconds": 30},
    {"endpoint": "webhook", "order": "TWICE.*", "event": "ORDER_SUCCEEDED", "fault": "duplicate", "copies": 2},
    {"endpoint": "webhook", "order": "SLOW.*", "event": "ORDER_SUCCEEDED", "fault": "late", "seconds": 0.5},
    {"endpoint": "webhook", "order": "NEVER.*", "event": "ORDER_SUCCEEDED", "fault": "missing"},
    {"endpoint": "webhook", "order": "SWAP.*", "event": "ORDER_SUCCEEDED", "fault": "out_of_order", "seconds": 60},
    {"endpoint": "session", "order": "SOME.*", "fault": "error", "status": 500, "chance": 0.5, "seed": "seven"},
]


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """The webhook address of the shared stand-in."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Sandbox]:
    """The shared stand-in: all events, short delays, and RULES."""
    sandbox = Sandbox.start(
        tmp_path_factory.mktemp("sandbox"),
        SANDBOX_WEBHOOK_URL=receiver.url,
        SANDBOX_WEBHOOK_EVENTS="*",
        SANDBOX_FAULTS=json.dumps(RULES),
    )
    yield sandbox
    sandbox.close()


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Return a function that starts a stand-in of the test's own; a second call uses the same file."""
    started: list[Sandbox] = []

    def start(**extra: str) -> Sandbox:
        started.append(Sandbox.start(tmp_path, **extra))
        return started[-1]

    yield start
    for sandbox in started:
        sandbox.close()
