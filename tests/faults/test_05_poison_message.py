"""Row 5: messages that are not messages, in a queue of good ones."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

from tests.faults.budgets import LONG, STEP
from tests.faults.world import QUEUES, World
from tests.servers.processes import wait_until

BROKER = "valkey"
#: A worker says what it could not read; on the stock transport some of it ends the worker, and supervisor begins anew.
SAID = (
    r"Unrecoverable error", r"JSONDecodeError", r"Received and deleted unknown message", r"unregistered task",
    r"Unknown task", r"binascii", r"TypeError", r"KeyError", r"Received invalid task message", r"DecodeError",
    r"AttributeError", r"ValueError", r"Can't decode", r"quarantine", r"UnicodeDecodeError", r"LookupError",
)  # fmt: skip


def envelope(name: str, args: Any, *, body: str | None = None, **headers: Any) -> str:
    """Return a message as kombu writes it; `body` in the place of the right one."""
    task_id = str(uuid.uuid4())
    right = base64.b64encode(json.dumps([args, {}, {}]).encode()).decode()
    return json.dumps(
        {
            "body": right if body is None else body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": name, "id": task_id, "root_id": task_id, "retries": 0, **headers},
            "properties": {
                "correlation_id": task_id, "reply_to": "", "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
                "delivery_info": {"exchange": "", "routing_key": "default"}, "delivery_tag": str(uuid.uuid4()),
            },
        }
    )  # fmt: skip


#: Of what ends a worker on the stock transport the quick form sends one: each costs a restart of every worker.
QUICK = ("not JSON", "wrong base64", "unknown task", "no task header", "large")


def garbage() -> dict[str, str | bytes]:
    """Return each thing that is not a message, under its name; the quick form has some of them."""
    record = "tests.faults.shop.tasks.record"
    found: dict[str, str | bytes] = {
        "not JSON": "not json{",
        "empty": "",
        "no object": "[1, 2, 3]",
        "no properties": '{"body": "", "headers": {}}',
        "bytes": b"\xff\xfe\x00garbage",
        "wrong base64": envelope(record, ["x"], body="*not base64*"),
        "body is no list": envelope(record, ["x"], body=base64.b64encode(b'{"a": 1}').decode()),
        "unknown task": envelope("tests.faults.shop.tasks.nobody", ["x"]),
        "no task header": envelope(record, ["x"]).replace('"task"', '"tusk"', 1),
        "large": envelope("tests.faults.shop.tasks.nobody", ["x" * (64_000_000 if LONG else 2_000_000)]),
    }
    return found if LONG else {name: found[name] for name in QUICK}


def scenario(world: World) -> None:
    """Put garbage into a queue while good messages pass."""
    load = world.load(count=150, pause=0.01)
    with world.broker.client() as client:
        for message in garbage().values():
            client.lpush("default", message)
    load.made()


def test_what_is_no_message_harms_no_other(world: World) -> None:
    scenario(world)
    world.check(declared=SAID)
    # Nothing of it stays to be read again and again
    wait_until(lambda: waiting(world) == 0, timeout=STEP, what="the queues being empty")
    world.check_progress()


def test_a_foreign_message_that_fits_no_task_is_parked_and_a_good_one_runs_once(world: World) -> None:
    record = "tests.faults.shop.tasks.record"
    wrong = envelope(record, ["free-1", "one", "too", "many"])
    odd = envelope(record, ["free-2"]).replace('"lang"', '"retries": 1, "lang"', 1)  # two values under one name
    with world.broker.client() as client:
        client.lpush("default", wrong, odd, odd, odd)
    wait_until(lambda: world.jobs("COUNT(*)", "state IN (3, 4)") == [(2,)], timeout=STEP, what="both being over")
    world.check(parked=1, declared=SAID)
    assert world.database.rows("SELECT `key` FROM shop_effect") == [("free-2",)]


def waiting(world: World) -> int:
    """Return how many messages lie in the queues' lists."""
    with world.broker.client() as client:
        keys = [
            f"{queue}{suffix}" for queue in QUEUES for suffix in ("", *(f"\x06\x16{number}" for number in range(1, 10)))
        ]
        return sum(client.llen(key) for key in keys)  # type: ignore[misc]
