"""`manage.py jobs` finds, shows and steers jobs; its exit status tells scripts what came of it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from myproject.jobs import controls
from myproject.jobs.ledger import database_now
from myproject.jobs.models import Control, Job, JobEvent, SteeringEvent
from myproject.jobs.states import JobState
from tests.jobs.steering.rows import TASK, job, parked

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments, status=0):
    """Run a command; return what it printed."""
    out = io.StringIO()
    try:
        call_command("jobs", *arguments, stdout=out, stderr=out)
        found = 0
    except CommandError as error:
        out.write(f"\n{error}")
        found = error.returncode
    assert found == status, out.getvalue()
    return out.getvalue()


def state(row):
    return JobState(Job.objects.values_list("state", flat=True).get(id=row.id))


def test_jobs_are_listed_and_searched():
    mine = job(keys={"order": "536365"}, created_at=database_now() - timedelta(hours=3))
    other = parked(task="notifications.tasks.send", queue="default")
    text = run("list")
    assert text.splitlines()[0].split() == ["id", "state", "task", "queue", "priority", "age", "attempts", "error"]
    assert "3 h" in text
    assert "2 of 2." in text
    for arguments, row in (
        (["list", "--state", "parked"], other), (["list", "--task", "tasks.process_order"], mine),
        (["list", "--queue", "default"], other), (["list", "--key", "order=536365"], mine),
        (["list", "--fingerprint", "f1", "--state", "parked"], other),
        (["list", "--older", "2h", "--newer", "4h"], mine),
        (["search", "536365"], mine), (["search", "order=536365"], mine), (["search", other.id], other),
        (["search", "tasks.process_order"], mine), (["search", "f1"], other),
    ):  # fmt: skip
        found = json.loads(run(*arguments, "--json"))
        assert [found_job["id"] for found_job in found["jobs"]] == [row.id], arguments


def test_a_long_list_is_read_in_pages():
    rows = [job() for _ in range(5)]
    first = json.loads(run("list", "--state", "queued", "--limit", "3", "--json"))
    second = json.loads(run("list", "--state", "queued", "--limit", "3", "--after", first["after"], "--json"))
    assert [row["id"] for row in first["jobs"] + second["jobs"]] == [row.id for row in rows]
    assert second["after"] == ""
    assert f"More: --after {first['after']}" in run("list", "--state", "queued", "--limit", "3")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["list"], 1, "No job matches."),
        (["list", "--state", "lost"], 2, "the states are scheduled"),
        (["list", "--older", "soon"], 2, "is no age"),
        (["list", "--limit", "0"], 2, "at least one"),
        (["list", "--after", "x"], 2, "begin at its first page"),
        (["search", "nothing"], 1, "No job matches."),
        (["show", "nowhere"], 1, "There is no job 'nowhere'"),
        (["graph", "nowhere"], 1, "There is no job 'nowhere'"),
        (["retry"], 2, "Name jobs, give a filter, or say --all."),
        (["retry", "--all", "--yes"], 1, "No job matches that is parked or cancelled or discarded."),
        (["discard", "--state", "queued", "--yes"], 2, "not to queued ones"),
        (["terminate", "nowhere"], 1, "There is no job"),
        (["pause", "queue", "nowhere"], 2, "There is no queue 'nowhere'; the queues are"),
        (["pause", "task", "os.system"], 2, "There is no task"),
        (["resume", "queue", "orders"], 1, "is not paused"),
        (["release", TASK], 1, "is not killed"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_status(arguments, status, said):
    assert said in run(*arguments, status=status)
    assert SteeringEvent.objects.count() == 0


def test_a_job_is_shown_without_its_arguments_unless_they_are_asked_for():
    row = parked(body='[["4111 1111"], {}, {}]', keys={"order": "A1"})
    JobEvent.objects.create(
        job_id=row.id,
        at=database_now(),
        kind="parked",
        epoch=0,
        attempts=3,
        error="ValueError: no",
        traceback="Traceback:\n  raise ValueError",
        worker="w1",
    )
    text = run("show", row.id)
    assert "4111 1111" not in text
    assert "raise ValueError" not in text
    assert "key order" in text
    assert "parked by w1 (life 0, 3 attempts): ValueError: no" in text
    text = run("show", row.id, "--arguments", "--traces")
    assert "4111" in text
    assert "raise ValueError" in text
    found = json.loads(run("show", row.id, "--json"))
    assert (found["state"], found["keys"], "body" in found) == ("parked", {"order": "A1"}, False)
    assert [moment["kind"] for moment in found["history"]] == ["created", "failed", "failed", "parked"]


def test_a_workflow_is_drawn():
    root = job()
    step = job(root_id=root.id, parent_id=root.id, state=JobState.SCHEDULED)
    parts = [job(root_id=root.id, parent_id=step.id) for _ in range(2)]
    lines = run("graph", parts[1].id).splitlines()
    assert [line.split()[0] for line in lines[:4]] == [TASK, "->", "*", "*"]
    assert lines[-1] == "3 queued, 1 scheduled"
    assert [found["id"] for found in json.loads(run("graph", root.id, "--json"))["jobs"]] == [
        root.id, step.id, *(part.id for part in parts),
    ]  # fmt: skip


def test_jobs_are_retried_discarded_and_cancelled():
    rows = [parked(), parked(fingerprint="f2"), parked(), job()]
    assert "retry: 1 of 1 jobs." in run("retry", rows[0].id, "--yes", "--reason", "repaired")
    assert "discard: 1 of 1 jobs." in run("discard", "--fingerprint", "f2", "--yes", "--actor", "ops")
    assert "cancel: 2 of 2 jobs." in run("cancel", "--queue", "orders", "--expect", "2")
    assert [state(row) for row in rows] == [
        JobState.CANCELLED, JobState.DISCARDED, JobState.PARKED, JobState.CANCELLED,
    ]  # fmt: skip
    events = SteeringEvent.objects.order_by("id")
    assert [(row.action, row.count, row.reason) for row in events] == [
        ("retry", 1, "repaired"), ("discard", 1, ""), ("cancel", 2, ""),
    ]  # fmt: skip
    assert events[0].actor.startswith("shell:")
    assert events[1].actor == "ops"
    found = json.loads(run("retry", "--all", "--yes", "--json"))
    assert (found["count"], found["counted"]) == (4, 4)


def test_a_workflow_is_cancelled():
    root = job(state=JobState.SUCCEEDED)
    steps = [job(root_id=root.id) for _ in range(2)]
    assert "cancel_workflow: 2 of 2 jobs." in run("cancel", "--workflow", root.id, "--yes")
    assert [state(row) for row in (root, *steps)] == [JobState.SUCCEEDED, JobState.CANCELLED, JobState.CANCELLED]


def test_another_number_than_expected_is_refused():
    row = parked()
    assert "2 jobs were confirmed, and now 1 match" in run("retry", "--all", "--expect", "2", status=1)
    assert "1 jobs match; say --yes or --expect 1." in run("retry", "--all", status=2)
    assert state(row) == JobState.PARKED


@pytest.mark.parametrize(("typed", "status"), [("1\n", 0), ("y\n", 1), ("\n", 1), ("", 1)])
def test_at_a_terminal_the_number_is_typed(monkeypatch, typed, status):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    row = parked()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    text = run("retry", row.id, status=status)
    assert "This will retry 1 jobs. Type 1 to go on:" in text
    assert state(row) == (JobState.PARKED if status else JobState.SCHEDULED)


def test_queues_and_tasks_are_held_and_let_go():
    run("pause", "queue", "orders", "--reason", "the bank is away")
    run("pause", "task", "tasks.process_order")
    run("kill", TASK, "--reason", "it charges twice")
    assert {(row.kind, row.name, row.action) for row in Control.objects.all()} == {
        ("queue", "orders", "pause"), ("task", TASK, "pause"), ("task", TASK, "kill"),
    }  # fmt: skip
    assert (
        str(controls.held(None, TASK, "orders")) == f"The task {TASK} is stopped by the kill switch: it charges twice"
    )
    text = run("controls")
    assert "the bank is away" in text
    assert "it charges twice" in text
    run("release", TASK)
    run("resume", "task", TASK)
    assert controls.held(None, TASK, "orders").reason == "the bank is away"
    run("resume", "queue", "orders")
    assert controls.held(None, TASK, "orders") is None
    assert run("controls").strip() == "Nothing is held."
    assert [row.action for row in SteeringEvent.objects.order_by("id")] == [
        "pause", "pause", "kill", "release", "resume", "resume",
    ]  # fmt: skip


def test_backlog_failures_and_pruning_are_told():
    assert run("backlog").strip() == "No job is open."
    assert run("failures").strip() == "No job failed."
    job()
    row = parked()
    job(state=JobState.SUCCEEDED)
    assert run("backlog").splitlines()[1].split()[:4] == ["orders", "0", "1", "0"]
    assert json.loads(run("backlog", "--json"))[0]["queued"] == 1
    assert f"1      {TASK}" in run("failures")
    assert json.loads(run("failures", "--json"))[0]["example"] == row.id
    run("prune")
    assert Job.objects.count() == 2


@pytest.mark.slow
def test_a_shell_sees_the_status():
    command = [sys.executable, "manage.py", "jobs"]
    assert subprocess.run([*command, "lst"], capture_output=True, check=False).returncode == 2
