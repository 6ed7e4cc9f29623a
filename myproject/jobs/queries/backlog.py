"""What waits, and since when: per queue and state, from the index of open jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Min

from myproject.jobs.controls import Hold, holds
from myproject.jobs.ledger import database_now
from myproject.jobs.models import Job
from myproject.jobs.queries.jobs import MOST_COUNTED, Count
from myproject.jobs.queries.walk import lanes_of
from myproject.jobs.states import OPEN, JobState

NONE = Count(0)
#: The jobs at the head of a queue that are asked for their age, which no index holds.
MOST_AGED = 2_000


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The open jobs of one queue.

    `oldest` is the age in seconds of the oldest one among the first MOST_AGED in line; `overdue` is for how long the
    first scheduled one should have been published.
    """

    queue: str
    scheduled: Count = NONE
    queued: Count = NONE
    running: Count = NONE
    oldest: float | None = None
    overdue: float | None = None
    hold: Hold | None = None

    @property
    def open(self) -> Count:
        """All of them."""
        parts = (self.scheduled, self.queued, self.running)
        return Count(sum(part.value for part in parts), more=any(part.more for part in parts))


@dataclass(frozen=True)
class _Stretch:
    count: Count
    oldest: datetime | None
    due: datetime | None


def _measure(state: JobState, queue: str) -> _Stretch:
    rows = Job.objects.filter(state=state, queue=queue)
    count = rows.order_by().values("id")[: MOST_COUNTED + 1].count()
    first = rows.order_by("priority", "due_at").values("created_at", "due_at")[:MOST_AGED]
    ages = first.aggregate(oldest=Min("created_at"), due=Min("due_at"))
    return _Stretch(Count(min(count, MOST_COUNTED), more=count > MOST_COUNTED), ages["oldest"], ages["due"])


def read_backlog() -> list[Backlog]:
    """Return the backlog of each queue that has open jobs or is held, by name."""
    now, held = database_now(), holds()
    found: dict[str, dict[JobState, _Stretch]] = {name: {} for name in held.queues}
    for state in OPEN:
        for queue in dict.fromkeys(queue for queue, _ in lanes_of(state)):
            found.setdefault(queue, {})[state] = _measure(state, queue)
    return [_sum_up(queue, found[queue], now=now, hold=held.queues.get(queue)) for queue in sorted(found)]


def _sum_up(queue: str, parts: dict[JobState, _Stretch], *, now: datetime, hold: Hold | None) -> Backlog:
    counts = {state: parts[state].count if state in parts else NONE for state in OPEN}
    born = [part.oldest for part in parts.values() if part.oldest]
    due = parts[JobState.SCHEDULED].due if JobState.SCHEDULED in parts else None
    return Backlog(
        queue=queue,
        scheduled=counts[JobState.SCHEDULED],
        queued=counts[JobState.QUEUED],
        running=counts[JobState.RUNNING],
        oldest=max(0.0, (now - min(born)).total_seconds()) if born else None,
        overdue=(now - due).total_seconds() if due and due <= now else None,
        hold=hold,
    )
