"""One action on every job of a filter: counted, confirmed, done in batches, audited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from celery import Celery
from django.db import transaction

from myproject.celery import abandon_cart_app
from myproject.celery import app as main_app
from myproject.errors import Conflict, InvalidInput
from myproject.jobs.ledger import database_now
from myproject.jobs.models import Job, SteeringEvent
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.queries.jobs import batches, count_exactly, get_job
from myproject.jobs.states import JobState
from myproject.jobs.steering_sql import lock_free

#: Jobs of one transaction: a worker that waits for the row of one of them waits for about 50 ms.
BATCH = 200
#: The longest reason and the longest name of an actor, as the audit's columns hold them.
LONGEST_REASON, LONGEST_ACTOR = 255, 191


class CountChanged(Conflict):
    """The filter means another number of jobs than was confirmed. Nothing was done. Read by the operator."""

    code = "count_changed"


class NotApplicable(Conflict):
    """The job is in a state that the action does not apply to. Read by the operator."""

    code = "not_applicable"


@dataclass(frozen=True, kw_only=True)
class Done:
    """What an action did: jobs that it changed, of those that were counted; why others were left, by their ids."""

    action: str
    count: int
    counted: int
    left: tuple[tuple[str, str], ...] = ()


#: Does the work on jobs whose rows are locked; returns how many it changed, and what it left with the reason.
Work = Callable[[list[Job]], tuple[int, list[tuple[str, str]]]]

#: The most jobs that are named as left alone; beyond, their number is enough.
MOST_LEFT = 100


def app_of(name: str) -> Celery:
    """Return the Celery app of a job."""
    return abandon_cart_app if name == abandon_cart_app.main else main_app


def audit(*, actor: str, action: str, filters: dict[str, Any], count: int, reason: str) -> None:
    """Write down who did what, in the caller's transaction."""
    SteeringEvent.objects.create(
        at=database_now(),
        actor=actor[:LONGEST_ACTOR],
        action=action,
        filters=filters,
        count=count,
        reason=reason[:LONGEST_REASON],
    )


def check_actor(actor: str, reason: str) -> None:
    """Refuse an action that nobody signs, and a reason that the audit would cut off."""
    if not actor.strip():
        raise InvalidInput("An action needs an actor.", field="actor")
    if len(reason) > LONGEST_REASON:
        raise InvalidInput(f"A reason has at most {LONGEST_REASON} characters.", field="reason")


def act_on_all(
    *,
    action: str,
    wanted: JobFilter,
    states: tuple[JobState, ...],
    expected: int,
    slack: int,
    actor: str,
    reason: str,
    work: Work,
) -> Done:
    """Do `work` on the jobs of the filter that are in `states`, batch by batch; each batch commits with its audit.

    `expected` is the count that the operator confirmed; `slack` is by how much it may differ by now. No more jobs are
    changed than that allows, whatever arrives meanwhile. Rows that somebody works on are left alone. Raises
    CountChanged, having done nothing.
    """
    check_actor(actor, reason)
    wanted = wanted.within(states)
    counted = count_exactly(wanted)
    if abs(counted - expected) > slack:
        raise CountChanged(
            f"{expected:,} jobs were confirmed, and now {counted:,} match. Nothing was done: look again.",
            expected=expected,
            counted=counted,
        )
    done, left = 0, []
    for jobs in _batches(wanted, most=counted + slack):
        with transaction.atomic():
            free = set(lock_free([job.id for job in jobs]))
            # Read again under the lock: what fitted when it was counted may have moved on.
            found = list(Job.objects.filter(wanted.condition, id__in=free)) if free else []
            changed, refused = work(found) if found else (0, [])
            if changed:
                audit(actor=actor, action=action, filters=wanted.as_json(), count=changed, reason=reason)
        done += changed
        left += [*refused, *((job.id, "somebody works on it") for job in jobs if job.id not in free)]
    return Done(action=action, count=done, counted=counted, left=tuple(left[:MOST_LEFT]))


def _batches(wanted: JobFilter, *, most: int) -> Iterator[list[Job]]:
    """Yield the jobs of a filter, `most` in all, in batches of at most BATCH."""
    waiting: list[Job] = []
    for places in batches(wanted, first=BATCH):
        ids = [task_id for _, task_id in places]
        found = Job.objects.filter(wanted.condition, id__in=ids).only("id")
        waiting += list(found[: max(0, most - len(waiting))])
        while len(waiting) >= BATCH:
            yield waiting[:BATCH]
            most -= BATCH
            waiting = waiting[BATCH:]
        if len(waiting) >= most:
            break
    if waiting:
        yield waiting


def act_on_one(*, task_id: str, states: tuple[JobState, ...], verb: str, run: Callable[[JobFilter], Done]) -> Done:
    """Do an action to one job. Raises NotFound, and NotApplicable with the reason when it was left alone."""
    job = get_job(task_id)
    fits = " or ".join(state.label for state in states)
    if job.state not in states:
        raise NotApplicable(
            f"The job is {job.get_state_display()}; only a {fits} job can be {verb}.", state=job.get_state_display()
        )
    try:
        done = run(JobFilter(ids=(task_id,)))
    except CountChanged:
        done = Done(action=verb, count=0, counted=0)
    if not done.count:
        why = done.left[0][1] if done.left else "it moved on"
        raise NotApplicable(f"The job was not {verb}: {why}.", state=get_job(task_id).get_state_display())
    return done
