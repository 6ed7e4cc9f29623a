"""Row 24: the site dies between its COMMIT and the message."""

from __future__ import annotations

from myproject.jobs.ledger import LOST_AFTER
from tests.faults.budgets import STEP, rounds
from tests.faults.world import World
from tests.servers.processes import wait_until

BROKER = "valkey"
#: What the relay, the worker and the task itself may take on top, on a slow machine that runs other tests.
SLACK = 10.0


def test_what_was_committed_and_not_published_is_swept(world: World) -> None:
    for number in range(rounds(quick=2, long=20)):
        key = f"unpublished-{number}"
        world.failpoints.clear()
        world.failpoints.arm("site", "publish.before", "kill")
        site = world.producer
        site.begin_call("record", key)
        world.failpoints.wait_fired("site", "publish.before")
        wait_until(lambda site=site: not site.is_running(), timeout=STEP, what="the site's death")  # type: ignore[misc]
    world.check()
    [(longest,)] = world.database.rows(
        "SELECT MAX(TIMESTAMPDIFF(MICROSECOND, created_at, finished_at)) / 1e6 FROM jobs_job WHERE deliveries = 1"
    )
    print(f"the longest took {longest:.1f} s from its promise to its end")
    assert LOST_AFTER <= float(longest) < LOST_AFTER + SLACK
