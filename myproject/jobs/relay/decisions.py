"""What the relay decides, as functions of plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from myproject.jobs.ledger import LOST_AFTER

#: How long a message that the relay itself published may stay unanswered, in seconds. Twice the first time: it may
#: stand behind others that were published again. Not more: after a kill it is what the jobs in hand wait for.
LOST_AGAIN = 2 * LOST_AFTER
#: By how many seconds the clocks of two hosts may differ before a waiting message is taken for a lost one.
CLOCK_SKEW = 1.0
#: Seconds before a row counts as lost where the broker cannot say how old the oldest waiting message is.
PATIENCE = 60.0
#: Messages that the relay lets wait in one list. Workers of one queue take up to 700 a second here and the relay comes
#: by four times a second, so 500 would do; 2,000 also cover a relay that is late, and new work stands behind seconds of
#: old work, not hours.
WINDOW = 2_000
#: A list that others keep fuller than that still gets some: rows that are due at 800 a second, lost ones at 50.
SCHEDULED_TRICKLE = (200, 0.25)
LOST_TRICKLE = (50, 1.0)


class Waiting(NamedTuple):
    """What waits in one list of a broker. `oldest` is when its oldest message was published; None: unknown."""

    length: int
    oldest: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Which queued rows have lost their message: due until `until`, and those published before `flushed`."""

    until: float
    flushed: float | None = None


def lost_until(*, now: float, waiting: Waiting, first: float = LOST_AFTER) -> float:
    """Return until when a queued row must have been due for its message to be lost.

    Messages are taken in order, so a job published after the oldest one that waits is not lost, it waits too. Without
    this a backlog longer than LOST_AFTER would be published again and again.
    """
    if not waiting.length:
        return now
    if waiting.oldest is None:
        return now - PATIENCE
    return min(now, waiting.oldest + first - CLOCK_SKEW)


def flushed_until(*, now: float, lost_at: float | None, waiting: Waiting, tick: float) -> float | None:
    """Return until when a job must have been published for its message to be gone with the broker's data; None: none.

    What was published between the loss and its discovery (one tick and a bit) waits in a list that was born after the
    loss. A list that is older was not emptied: the broker went back in time, and which of its messages are missing
    cannot be told.
    """
    if lost_at is None or now > lost_at + LOST_AGAIN + PATIENCE:  # by then every such row is due anyway
        return None
    if waiting.length and waiting.oldest is not None and waiting.oldest > lost_at - 2 * tick:
        return min(lost_at, waiting.oldest)
    return lost_at


@dataclass(slots=True)
class Tap:
    """How many rows of one lane may be published: up to the window, and a trickle beyond it."""

    rows: int
    seconds: float
    next_at: float = 0.0

    def allowance(self, *, length: int, window: int, clock: float) -> int:
        """Return how many, when `length` messages wait. `clock` is any clock that only moves forward."""
        if length < window:
            return window - length
        if clock < self.next_at:
            return 0
        self.next_at = clock + self.seconds
        return self.rows
