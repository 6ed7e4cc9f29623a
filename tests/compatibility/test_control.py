"""Remote control and the command lines of Celery: inspect, control, purge, status, multi, Flower."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from tests.compatibility.conftest import NODE, QUEUES
from tests.servers import programs
from tests.servers.processes import ROOT, Process, free_port, python, wait_until

WAIT = 60
ONE = {"destination": [NODE], "timeout": 5, "limit": 1}  # the first answer ends the waiting
ADD = "tests.compatibility.add"


def celery(*arguments: str, env: dict[str, str]) -> str:
    """Run `celery ...` and return what it printed."""
    done = subprocess.run(
        [python(), "-m", "celery", *arguments],
        env=env,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def inspect(tasks, client):
    return client.control.inspect(destination=[NODE], timeout=WAIT, limit=1)


def test_inspect_shows_what_runs_and_what_is_delayed(tasks, inspect, notebook):
    key = f"go:{uuid.uuid4().hex}"
    delayed = tasks.add.apply_async(args=(1, 1), countdown=60)
    running = {tasks.progress.delay(key) for _ in range(2)}
    ids = {result.id for result in running}
    wait_until(lambda: ids == {task["id"] for task in inspect.active()[NODE]}, timeout=WAIT, what="two running")

    assert delayed.id in {task["request"]["id"] for task in inspect.scheduled()[NODE]}
    assert isinstance(inspect.reserved()[NODE], list)
    delayed.revoke()
    notebook.rpush(key, "on", "on")
    for result in running:
        result.get(timeout=WAIT)


def test_inspect_shows_tasks_queues_and_figures(tasks, inspect):
    registered = {line.partition(" ")[0] for line in inspect.registered()[NODE]}

    assert {ADD, "tasks.syncDgraphProduct", "myproject.accounts.tasks.cleanup_sessions"} <= registered
    assert {queue["name"] for queue in inspect.active_queues()[NODE]} == set(QUEUES)
    assert inspect.stats()[NODE]["pool"]["max-concurrency"] == 2
    assert inspect.ping()[NODE] == {"ok": "pong"}


def test_ping_answers_for_a_health_check(tasks, client):
    assert client.control.ping(**ONE) == [{NODE: {"ok": "pong"}}]


def test_revoke_keeps_a_waiting_task_from_running(tasks, notes):
    key = uuid.uuid4().hex
    result = tasks.note.apply_async(args=("should not run", key), countdown=60)
    result.revoke()
    wait_until(lambda: result.state == "REVOKED", timeout=WAIT, what="REVOKED")

    assert notes(key) == []


def test_revoke_by_id_through_the_task(tasks):
    result = tasks.add.apply_async(args=(1, 1), countdown=60)
    tasks.add.AsyncResult(result.id).revoke()
    wait_until(lambda: result.state == "REVOKED", timeout=WAIT, what="REVOKED")


def test_revoke_with_terminate_stops_a_running_task(tasks, inspect):
    result = tasks.sleep.delay(30)
    wait_until(lambda: result.state == "STARTED", timeout=WAIT, what="STARTED")
    result.revoke(terminate=True)
    wait_until(lambda: result.state == "REVOKED", timeout=WAIT, what="REVOKED")

    assert tasks.add.delay(1, 1).get(timeout=WAIT) == 2


def test_rate_limit_can_be_changed_while_running(tasks, client):
    name = tasks.limited.name
    answer = client.control.rate_limit(name, "20/m", reply=True, **ONE)
    assert answer == [{NODE: {"ok": "new rate limit set successfully"}}]

    started = [tasks.limited.delay() for _ in range(3)]
    started[0].get(timeout=WAIT)
    assert not started[-1].ready()

    client.control.rate_limit(name, 0, reply=True, **ONE)
    for result in started:
        result.get(timeout=WAIT)


def test_time_limit_can_be_changed_while_running(tasks, client):
    answer = client.control.time_limit(tasks.sleep.name, soft=50, hard=100, reply=True, **ONE)

    assert answer == [{NODE: {"ok": "time limits set successfully"}}]


def test_consumers_can_be_added_and_cancelled(tasks, client, inspect):
    queue = f"compatibility-{uuid.uuid4().hex}"
    client.control.add_consumer(queue, reply=True, **ONE)
    assert tasks.add.apply_async(args=(1, 1), queue=queue).get(timeout=WAIT) == 2

    client.control.cancel_consumer(queue, reply=True, **ONE)
    assert queue not in {each["name"] for each in inspect.active_queues()[NODE]}


def test_pool_restart_is_refused_with_a_reason(tasks, client):
    answer = client.control.pool_restart(reply=True, **ONE)

    assert "Pool restarts not enabled" in str(answer)


def test_purge_empties_the_declared_queues(registered, client):
    registered.add.apply_async(args=(1, 1), queue="reports", priority=9)
    registered.add.apply_async(args=(1, 1), queue="reports", priority=0)

    assert client.control.purge() >= 2
    with client.connection_for_read() as connection:
        assert connection.default_channel._size("reports") == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("inspect", "active"), NODE),
        (("inspect", "registered"), "tasks.syncDgraphProduct"),
        (("inspect", "stats"), "max-concurrency"),
        (("control", "revoke", "0c3e0ac1-no-such-task"), "flagged as revoked"),
        (("status",), "1 node online"),
        (("purge", "-f"), "purge"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_command_lines(tasks, worker_env, arguments, expected):
    printed = celery("-A", "myproject", *arguments, env=worker_env)

    assert expected.lower() in printed.lower()


@pytest.mark.slow
def test_inspect_answers_in_json(tasks, worker_env):
    printed = celery("-A", "myproject", "inspect", "scheduled", "--json", env=worker_env)

    assert NODE in json.loads(printed)


@pytest.mark.slow
def test_shutdown_ends_a_worker(client, worker_env, tmp_path):
    process = programs.start_worker(
        env=worker_env, queues=["compatibility_leaving"], folder=tmp_path, name="leaving", pool="solo"
    )
    with process:
        client.control.shutdown(destination=["leaving@localhost"])
        wait_until(lambda: not process.is_running(), timeout=WAIT, what="the worker's end")
        assert process.popen.returncode == 0


@pytest.mark.slow
def test_multi_starts_and_stops_named_workers(client, worker_env, tmp_path):
    names = ["multi1", "multi2"]
    nodes = {f"{name}@localhost" for name in names}
    files = [f"--pidfile={tmp_path}/%n.pid", f"--logfile={tmp_path}/%n%I.log"]

    def answering() -> set[str]:
        return {node for answer in client.control.ping(destination=list(nodes), timeout=2, limit=2) for node in answer}

    try:
        celery(
            "multi", "start", *names, "-A", "myproject", "-P", "solo", "--hostname=localhost", *files, "-l", "INFO",
            "-Q:multi1", "compatibility_multi", "-Q:multi2", "reports", env=worker_env,
        )  # fmt: skip
        wait_until(lambda: answering() == nodes, timeout=90, what="both workers answering")
        queues = client.control.inspect(destination=list(nodes), timeout=WAIT, limit=2).active_queues()
        assert {node: [queue["name"] for queue in found] for node, found in queues.items()} == {
            "multi1@localhost": ["compatibility_multi"],
            "multi2@localhost": ["reports"],
        }
    finally:
        celery("multi", "stopwait", *names, "--hostname=localhost", *files, env=worker_env)
    assert list(tmp_path.glob("*.pid")) == []


@pytest.mark.slow
def test_flower_asks_for_its_password_and_shows_the_workers(tasks, worker_env, tmp_path):
    port = free_port()
    command = [
        python(), "-m", "celery", "-A", "myproject", "flower", f"--port={port}", "--address=127.0.0.1",
        "--basic-auth=admin:secretpassword",
    ]  # fmt: skip
    with Process(command, folder=tmp_path, name="flower", env=worker_env, cwd=ROOT) as flower:
        flower.wait_ready(lambda: status_of(port) == 401, timeout=180)
        wait_until(lambda: status_of(port, "admin:secretpassword") == 200, timeout=WAIT, what="the dashboard")
        assert status_of(port, "admin:wrong") == 401


def status_of(port: int, credentials: str = "", path: str = "/workers") -> int:
    """Return the HTTP status that Flower answers with; 0 while it does not listen."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if credentials:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    with contextlib.suppress(urllib.error.URLError, OSError):
        try:
            return int(urllib.request.urlopen(request, timeout=5).status)
        except urllib.error.HTTPError as error:
            return error.code
    return 0


def test_the_logs_of_the_worker_hold_no_arguments(tasks, running_worker: Process):
    secret = f"secret-{uuid.uuid4().hex}"
    assert tasks.length.delay(secret).get(timeout=WAIT) == len(secret)

    assert secret not in Path(running_worker.log_file).read_text()
