"""Holding queues and tasks, and letting them go: it lasts until somebody lets them go, across every restart."""

from __future__ import annotations

from celery import current_app
from django.db import transaction

from myproject.errors import InvalidInput, NotFound
from myproject.jobs import controls
from myproject.jobs.actions.bulk import LONGEST_ACTOR, audit, check_actor
from myproject.jobs.actions.terminate import terminate_job
from myproject.jobs.aliases import resolve
from myproject.jobs.controls import ControlAction, ControlKind
from myproject.jobs.ledger import database_now
from myproject.jobs.models import Control
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.queries.jobs import MOST_EXAMINED, list_jobs
from myproject.jobs.states import JobState
from myproject.settings.celery import QUEUES

__all__ = ["hold", "kill_task", "let_go"]


def hold(
    *, kind: ControlKind, name: str, actor: str, reason: str = "", action: ControlAction = ControlAction.PAUSE
) -> Control:
    """Keep the jobs of a queue or a task from starting. What is running ends as it would. Nothing is lost.

    New calls are still promised, and wait as scheduled jobs; so do retries. Doing it twice changes nothing but the
    reason. Raises InvalidInput for a name that this version does not know.
    """
    check_actor(actor, reason)
    name = check_name(kind, name)
    if action is ControlAction.KILL and kind is ControlKind.QUEUE:
        raise InvalidInput("The kill switch stops tasks; a queue is paused.", field="kind")
    given = {"reason": reason, "actor": actor[:LONGEST_ACTOR], "since": database_now()}
    with transaction.atomic():
        row, _ = Control.objects.update_or_create(kind=kind, name=name, action=action, defaults=given)
        audit(actor=actor, action=action, filters={"kind": kind, "name": name}, count=1, reason=reason)
        transaction.on_commit(controls.forget)
    return row


def kill_task(*, name: str, actor: str, reason: str = "") -> int:
    """Pull the kill switch of a task: hold it, and terminate its leased jobs that run now. Returns how many.

    Bodies in transaction mode are short and end as they would. Its jobs are held like paused ones, none is lost:
    release the switch and they run, or discard and cancel them.
    """
    hold(kind=ControlKind.TASK, name=name, actor=actor, reason=reason, action=ControlAction.KILL)
    wanted = JobFilter(task=name, states=(JobState.RUNNING,))
    running = list_jobs(wanted, size=MOST_EXAMINED).jobs
    return sum(terminate_job(task_id=job.id, actor=actor, reason=reason, patience=0).cancelled for job in running)


def let_go(
    *, kind: ControlKind, name: str, actor: str, reason: str = "", action: ControlAction = ControlAction.PAUSE
) -> None:
    """Let the jobs of a queue or a task start again. Raises NotFound when it is not held that way."""
    check_actor(actor, reason)
    name = resolve(name) if kind is ControlKind.TASK else name
    with transaction.atomic():
        deleted, _ = Control.objects.filter(kind=kind, name=name, action=action).delete()
        if not deleted:
            raise NotFound(f"The {kind} {name} is not {'paused' if action is ControlAction.PAUSE else 'killed'}.")
        undone = "resume" if action is ControlAction.PAUSE else "release"
        audit(actor=actor, action=undone, filters={"kind": kind, "name": name}, count=1, reason=reason)
        transaction.on_commit(controls.forget)


def check_name(kind: ControlKind, name: str) -> str:
    """Return the present name of what is to be held. Raises InvalidInput for a name that nothing has."""
    if kind is ControlKind.QUEUE:
        known = [queue.name for queue in QUEUES]
        if name not in known:
            raise InvalidInput(f"There is no queue {name!r}; the queues are {', '.join(known)}.", field="name")
        return name
    found = resolve(name)
    if found not in current_app.tasks:
        raise InvalidInput(f"There is no task {name!r} in this version.", field="name")
    return found
