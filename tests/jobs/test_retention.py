"""Every table of the platform either loses its rows with the jobs they are about, or says why it keeps them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import chain, chord, group
from django.apps import apps
from django.db.models import F
from django.utils import timezone

from myproject.jobs import prune
from myproject.jobs.actions.cancel import cancel_job, cancel_workflow
from myproject.jobs.actions.discard import discard_job
from myproject.jobs.actions.retry import retry_job
from myproject.jobs.models import Chord, ConcurrencySlot, Job, JobEvent, JobKey, SavedGroup, SteeringEvent, UniqueKey
from myproject.jobs.states import CLOSED, JobState
from tests.jobs.workflow_tasks import PREFIX

pytestmark = pytest.mark.django_db(transaction=True)

#: Tables that no job adds rows to.
KEPT = {
    "SteeringEvent": "who decided what: a row for each act of an operator, kept for good",
    "Control": "what is held now, at most a row for each queue and task",
    "Relay": "a row for each relay; those that went away are deleted after a day",
    "BrokerMark": "a row for each app",
}


def counts() -> dict[str, int]:
    return {model.__name__: model._default_manager.count() for model in apps.get_app_config("jobs").get_models()}


def declare(app: Any) -> Any:
    @app.task(
        name=PREFIX + "keyed", shared=False, bind=True, business_keys={"order": "order"}, unique=("order",),
        concurrency_key=("order",),
    )  # fmt: skip
    def keyed(self: Any, order: int, fails: bool = False) -> int:
        if self.request.retries == 0 and not fails:
            raise self.retry(countdown=0)
        if fails:
            raise ValueError(order)
        return order

    return keyed


def live_a_life(tasks: Any, shop: Any, keyed: Any) -> None:
    """Have jobs end in each of the ways there are, with all that they can leave behind."""
    keyed.delay(1)
    keyed.delay(2, fails=True)
    chord([tasks.add.s(1, 1), chain(tasks.add.s(2, 2), tasks.add.s(3))], tasks.gather.s()).delay()
    chord([tasks.add.s(1, 1), chain(tasks.fail.s(), tasks.note.s())], tasks.gather.s()).delay()
    started: Any = group(tasks.replaced.s(1, "task"), tasks.ignored.s(1)).delay()
    started.save()
    shop.drain()
    waiting = keyed.apply_async((3,), countdown=60)
    cancel_job(task_id=waiting.id, actor="tester")
    steps: Any = chain(tasks.add.s(1, 1), tasks.add.s(2)).apply_async(countdown=60)
    cancel_workflow(task_id=steps.parent.id, actor="tester")
    first, *parked = Job.objects.filter(state=JobState.PARKED).values_list("id", flat=True)
    retry_job(task_id=first, actor="tester")
    shop.drain()
    for task_id in (first, *parked):
        discard_job(task_id=task_id, actor="tester")


def age(days: float) -> None:
    ago = timedelta(days=days)
    Job.objects.filter(state__in=CLOSED).update(due_at=F("due_at") - ago)
    for model in (Chord, SavedGroup, ConcurrencySlot):
        model._default_manager.update(created_at=F("created_at") - ago)
    ConcurrencySlot.objects.exclude(until=None).update(until=F("until") - ago)


def test_nothing_of_a_job_outlives_its_retention(tasks: Any, shop: Any, app: Any) -> None:
    live_a_life(tasks, shop, declare(app))
    before = counts()
    assert all(before[name] for name in ("Job", "JobKey", "JobEvent", "ConcurrencySlot", "Chord", "ChordPart"))
    assert before["SavedGroup"] == 1
    assert {state for (state,) in Job.objects.values_list("state").distinct()} <= set(CLOSED)

    prune.prune()
    assert counts() == before  # its time has not come

    age(400)
    prune.prune()
    left = {name for name, count in counts().items() if count}
    assert left <= set(KEPT)
    assert SteeringEvent.objects.count() == before["SteeringEvent"]


def test_what_an_open_job_has_stays(tasks: Any, shop: Any, app: Any) -> None:
    keyed = declare(app)
    waiting = keyed.apply_async((1,), countdown=60)
    JobEvent.objects.create(job_id=waiting.id, at=timezone.now(), kind="killed", epoch=0, attempts=1)
    age(400)
    prune.prune()
    assert (JobKey.objects.get().job_id, UniqueKey.objects.get().job_id) == (waiting.id, waiting.id)
    assert JobEvent.objects.get().job_id == waiting.id


def test_every_table_that_is_kept_is_one_of_ours() -> None:
    assert set(KEPT) < set(counts())
