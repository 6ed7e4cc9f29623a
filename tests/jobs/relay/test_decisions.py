"""What counts as lost, and how much may be published."""

from __future__ import annotations

import pytest

from myproject.jobs.relay.decisions import PATIENCE, Tap, Waiting, flushed_until, lost_until

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("waiting", "until"),
    [
        (Waiting(0), NOW),
        (Waiting(7), NOW - PATIENCE),  # of unknown age
        (Waiting(7, NOW - 100), NOW - 100 + 5 - 1),
        (Waiting(7, NOW - 1), NOW),  # all of it is younger than LOST_AFTER
        (Waiting(7, NOW + 50), NOW),  # published by a host whose clock is ahead
    ],
)
def test_a_job_is_lost_when_it_was_published_before_everything_that_waits(waiting: Waiting, until: float) -> None:
    assert lost_until(now=NOW, waiting=waiting) == until


@pytest.mark.parametrize(
    ("lost_at", "waiting", "until"),
    [
        (None, Waiting(0), None),
        (NOW - 1, Waiting(0), NOW - 1),
        (NOW - 1, Waiting(3, NOW - 1.5), NOW - 1.5),  # the list was born after the loss and before its discovery
        (NOW - 1, Waiting(3, NOW - 0.5), NOW - 1),
        (NOW - 1, Waiting(3, NOW - 500), NOW - 1),  # the broker went back: what waits is old
        (NOW - 1, Waiting(3), NOW - 1),
        (NOW - 500, Waiting(0), None),  # long ago: every row from then is due by now
    ],
)
def test_after_a_loss_what_was_published_before_it_is_lost(
    lost_at: float | None, waiting: Waiting, until: float | None
) -> None:
    assert flushed_until(now=NOW, lost_at=lost_at, waiting=waiting, tick=1.0) == until


def test_a_list_is_filled_up_to_the_window_and_trickles_beyond() -> None:
    tap = Tap(rows=50, seconds=1.0)
    assert tap.allowance(length=20, window=100, clock=0.0) == 80
    assert tap.allowance(length=100, window=100, clock=0.1) == 50
    assert tap.allowance(length=100, window=100, clock=1.0) == 0
    assert tap.allowance(length=5_000, window=100, clock=1.2) == 50
