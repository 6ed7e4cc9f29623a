"""A Celery app on the jobs' rows, and workers without a broker: jobs are run from their rows, in any order, twice."""

from __future__ import annotations

import itertools
import random
from typing import Any

from celery import Celery, _state

from myproject.jobs import canvas, ledger, publishing
from myproject.jobs.local import run_row
from myproject.jobs.models import Job
from myproject.jobs.states import JobState
from tests.jobs.workflow_tasks import PREFIX

_numbers = itertools.count()


def make_app(**settings: Any) -> Celery:
    """Return a new app with the tasks of these tests."""
    app = Celery(
        f"workflows-{next(_numbers)}",
        amqp="myproject.jobs.amqp:DurableAMQP",
        task_cls="myproject.jobs.task:DurableTask",
        set_as_current=False,
        fixups=[],
    )
    app.backend_cls = "myproject.jobs.backend:JobBackend"
    app.conf.update(
        {
            "broker_url": "memory://",
            "result_backend": "cache+memory://",
            "task_default_queue": "workflows",
            "task_track_started": True,
            "task_allow_error_cb_on_chord_header": False,
            **settings,
        }
    )
    canvas.install()
    return app


class Workshop:
    """The workers of one app: they find jobs by their rows, as if every message had arrived."""

    def __init__(self, app: Celery, *, seed: int = 0) -> None:
        self.app = app
        self.random = random.Random(seed)
        self.runs: list[str] = []

    def open_ids(self) -> list[str]:
        """Return the ids of the jobs that a worker could run now."""
        rows = Job.objects.filter(app=self.app.main, state__in=[JobState.SCHEDULED, JobState.QUEUED])
        return list(rows.order_by("created_at", "id").values_list("id", flat=True))

    def run(self, task_id: str, *, delivery: int = 0) -> Any:
        """Run one job, whatever it waits for."""
        Job.objects.filter(id=task_id, state=JobState.SCHEDULED).update(state=JobState.QUEUED)
        row = ledger.read(task_id)
        assert row is not None
        self.runs.append(row.task.removeprefix(PREFIX))
        return self._run_row(row, delivery=delivery)

    def _run_row(self, row: ledger.Row, *, delivery: int = 0) -> Any:
        before = _state.get_current_app()
        self.app.set_current()  # as a worker does: signatures that lost their app belong to it
        try:
            return run_row(self.app, row, delivery=delivery)
        finally:
            before.set_current()

    def drain(self, *, shuffled: bool = False, twice: bool = False) -> list[str]:
        """Run jobs until none is open; return the names of the tasks in the order of their runs.

        `twice` delivers each message again, later and out of order, as a broker and a relay may.
        """
        delivered: list[tuple[str, int]] = []
        for _ in range(100_000):
            found = self.open_ids()
            if not found:
                break
            task_id = self.random.choice(found) if shuffled else found[0]
            row = ledger.read(task_id)
            assert row is not None
            delivered.append((task_id, row.epoch))
            self.run(task_id)
            if twice:
                for again in self.random.sample(delivered, min(2, len(delivered))):
                    self.deliver_again(*again)
        return self.runs

    def deliver_again(self, task_id: str, epoch: int) -> None:
        """Deliver a message of a life that may be over: nothing may come of it."""
        row = ledger.read(task_id)
        if row is not None:
            self._run_row(row._replace(epoch=epoch))

    def count(self, name: str) -> int:
        """Return how often a task's job was run."""
        return self.runs.count(name)


def quiet(monkeypatch: Any) -> None:
    """Publish nothing: these tests run jobs from their rows."""
    monkeypatch.setattr(publishing.Publisher, "publish", lambda *args, **kwargs: None)
