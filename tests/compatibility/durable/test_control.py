"""Remote control of workers that run durable tasks: inspect, revoke, limits, consumers, pools, purge, events."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import threading
import urllib.request
import uuid

import pytest
from celery.exceptions import TaskRevokedError

from myproject.jobs.models import Job
from myproject.jobs.states import JobState
from tests.servers.processes import ROOT, Process, free_port, python, wait_until

WAIT = 60
NODE = "durable@localhost"
ONE = {"destination": [NODE], "timeout": WAIT, "limit": 1}  # the first answer ends the waiting


@pytest.fixture
def inspect(app):
    return app.control.inspect(**ONE)


def test_inspect_shows_what_runs(tasks, inspect, world):
    go = f"go-{uuid.uuid4().hex}"
    result = tasks.held.delay(go)
    wait_until(lambda: result.id in {task["id"] for task in inspect.active()[NODE]}, timeout=WAIT, what="it running")
    shown = next(task for task in inspect.active()[NODE] if task["id"] == result.id)

    assert shown["name"] == "tests.durable.held"
    assert go not in str(inspect.reserved()[NODE])
    assert inspect.query_task(result.id)[NODE][result.id][0] == "active"
    world.let_go(go)
    assert result.get(timeout=WAIT) == "let go"


def test_inspect_shows_tasks_queues_and_figures(inspect, app):
    registered = {line.partition(" ")[0] for line in inspect.registered()[NODE]}

    assert {"tests.durable.add", "tasks.syncDgraphProduct"} <= registered
    assert {queue["name"] for queue in inspect.active_queues()[NODE]} == {"default", "durable_other", "durable.math"}
    stats = inspect.stats()[NODE]
    assert stats["pool"]["max-concurrency"] == 2
    assert inspect.scheduled()[NODE] == []
    assert inspect.conf()[NODE]
    assert app.control.ping(**ONE) == [{NODE: {"ok": "pong"}}]
    assert inspect.report()[NODE]["ok"]


@pytest.mark.parametrize("way", ["result", "task", "control", "several"])
def test_revoke_keeps_a_waiting_task_from_running_for_ever(tasks, app, notes, way):
    key = uuid.uuid4().hex
    result = tasks.note.apply_async(args=("should not run", key), countdown=3600)
    revoke = {
        "result": result.revoke,
        "task": tasks.note.AsyncResult(result.id).revoke,
        "control": lambda: app.control.revoke(result.id),
        "several": lambda: app.control.revoke([result.id]),
    }
    revoke[way]()

    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        result.get(timeout=WAIT)
    assert Job.objects.get(id=result.id).state == JobState.CANCELLED
    assert notes(key) == []


def test_revoke_with_terminate_stops_a_running_task(tasks, notes):
    result = tasks.held.delay("never let go")
    notes(result.id, expect=1)
    result.revoke(terminate=True)
    wait_until(lambda: result.state == "REVOKED", timeout=WAIT, what="REVOKED")

    assert tasks.add.delay(1, 1).get(timeout=WAIT) == 2
    assert notes(result.id) == ["started"]


def test_terminate_does_the_same(tasks, app, notes):
    result = tasks.held.delay("never let go")
    notes(result.id, expect=1)
    app.control.terminate(result.id)
    wait_until(lambda: result.state == "REVOKED", timeout=WAIT, what="REVOKED")


def test_revoke_by_stamps_stops_what_runs(tasks, app, notes):
    signature = tasks.held.s("never let go")
    signature.stamp(revoked_order="536365")
    result = signature.apply_async()
    notes(result.id, expect=1)
    app.control.revoke_by_stamped_headers({"revoked_order": "536365"}, terminate=True)  # workers remember it
    wait_until(lambda: result.state == "REVOKED", timeout=WAIT, what="REVOKED")

    assert tasks.add.delay(1, 1).get(timeout=WAIT) == 2


def test_limits_can_be_changed_while_running(tasks, app):
    rate = app.control.rate_limit(tasks.limited.name, "10/m", reply=True, **ONE)
    time = app.control.time_limit(tasks.add.name, soft=50, hard=100, reply=True, **ONE)
    started = [tasks.limited.delay() for _ in range(3)]
    started[0].get(timeout=WAIT)

    assert rate == [{NODE: {"ok": "new rate limit set successfully"}}]
    assert time == [{NODE: {"ok": "time limits set successfully"}}]
    assert not started[-1].ready()
    app.control.rate_limit(tasks.limited.name, 0, reply=True, **ONE)
    assert [result.get(timeout=WAIT) for result in started] == ["ran"] * 3


def test_consumers_can_be_added_and_cancelled(tasks, app, inspect):
    queue = f"durable-{uuid.uuid4().hex}"
    app.control.add_consumer(queue, reply=True, **ONE)
    assert tasks.add.apply_async(args=(1, 1), queue=queue).get(timeout=WAIT) == 2

    app.control.cancel_consumer(queue, reply=True, **ONE)
    # It answers before it has done so.
    wait_until(lambda: queue not in str(inspect.active_queues()[NODE]), timeout=WAIT, what="the end of the consumer")


def test_the_pool_grows_and_shrinks_and_is_not_restarted(app, inspect, tasks):
    app.control.pool_grow(1, reply=True, **ONE)
    wait_until(lambda: len(inspect.stats()[NODE]["pool"]["processes"]) == 3, timeout=WAIT, what="three processes")
    app.control.pool_shrink(1, reply=True, **ONE)
    wait_until(lambda: len(inspect.stats()[NODE]["pool"]["processes"]) == 2, timeout=WAIT, what="two processes")

    assert "Pool restarts not enabled" in str(app.control.pool_restart(reply=True, **ONE))
    assert tasks.add.delay(1, 1).get(timeout=WAIT) == 2


def test_a_purge_empties_the_queues_and_loses_nothing(tasks, app):
    """Stock Celery's purge deletes tasks; here it deletes their messages, and the relay sends new ones."""
    results = [tasks.add.apply_async(args=(number, 1), queue="reports") for number in range(3)]
    assert app.control.purge() >= 3

    assert {Job.objects.get(id=result.id).state for result in results} == {JobState.QUEUED}
    for result in results:
        result.revoke()
    assert {result.state for result in results} == {"REVOKED"}


def test_events_tell_of_every_step_and_show_no_arguments(tasks, app):
    seen: list[dict] = []
    secret, going = f"secret-{uuid.uuid4().hex}", threading.Event()

    def listen() -> None:
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": seen.append})
            with contextlib.suppress(TimeoutError, OSError):
                for _ in receiver.consume(limit=None, timeout=30, wakeup=True):
                    going.set()
                    if any(event.get("uuid") in ids and event["type"] == "task-succeeded" for event in seen):
                        return

    ids: set[str] = set()
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    wait_until(lambda: [event for event in seen if event["type"] == "worker-heartbeat"], timeout=WAIT, what="events")
    ids.add(tasks.context.delay(secret).id)
    thread.join(WAIT)

    mine = [event for event in seen if event.get("uuid") in ids]
    assert {"task-received", "task-started", "task-succeeded"} <= {event["type"] for event in mine}
    received = next(event for event in mine if event["type"] == "task-received")
    assert (received["args"], received["kwargs"]) == ("[redacted]", "[redacted]")
    assert secret not in str([event for event in mine if event["type"] != "task-succeeded"])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_flower_shows_a_durable_task_with_its_arguments_redacted(tasks, world, tmp_path):
    port, secret = free_port(), f"secret-{uuid.uuid4().hex}"
    command = [
        python(), "-m", "celery", "-A", "myproject", "flower", f"--port={port}", "--address=127.0.0.1",
        "--basic-auth=admin:secretpassword",
    ]  # fmt: skip
    sent: list[str] = []
    pages: list[str] = []

    def shown() -> bool:
        # Flower tells of what it has heard itself, and arguments come with a task's first event: of a task whose first
        # event it missed it shows a page without them.
        sent.append(tasks.length.delay(secret).id)
        pages.extend(page(port, f"/task/{task_id}") for task_id in sent[-5:])
        return any("[redacted]" in text for text in pages)

    with Process(command, folder=tmp_path, name="flower", env=world.env, cwd=ROOT) as flower:
        flower.wait_ready(lambda: page(port, "/workers"), timeout=150)
        wait_until(shown, timeout=2 * WAIT, what="the page of a task with its arguments redacted", pause=0.5)
    assert [text for text in pages if secret in text] == []


def page(port: int, path: str) -> str:
    """Return the text of one of Flower's pages; nothing while it is not there, or Flower does not answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"admin:secretpassword").decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text: str = answer.read().decode()
            return text
    except (OSError, http.client.HTTPException):  # refused, reset, too late, or no such page
        return ""


@pytest.mark.slow
def test_the_command_lines(tasks, world):
    task_id = world.celery("call", "tests.durable.add", "--args=[2, 3]", "--queue=default").split()[-1]

    assert tasks.add.AsyncResult(task_id).get(timeout=WAIT) == 5
    assert Job.objects.get(id=task_id).state == JobState.SUCCEEDED
    assert world.celery("result", task_id).split()[-1] == "5"
    assert NODE in json.loads(world.celery("inspect", "active", "--json"))


def test_the_logs_of_worker_and_relay_hold_no_arguments(tasks, world):
    secret = f"secret-{uuid.uuid4().hex}"
    assert tasks.length.delay(secret).get(timeout=WAIT) == len(secret)

    assert [process.name for process in world.processes.values() if secret in process.log()] == []
