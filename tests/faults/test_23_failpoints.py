"""Row 23: a program dies, or an error is raised, at every place of the ledger's code."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.faults.budgets import RECOVERY
from tests.faults.checker import KILLED
from tests.faults.world import World
from tests.servers.processes import wait_until

SAID = (*KILLED, r"FailpointError", r"declared harm", r"TimeLimitExceeded", r"Hard time limit")


class Place(NamedTuple):
    """A failpoint, the kind of program that passes it, and the task that leads there."""

    kind: str
    name: str
    task: str


#: What is struck at the same time: places that no task of the same step passes for another one's sake.
STEPS: tuple[tuple[Place, ...], ...] = (
    (Place("worker", "close.after", "record"), Place("worker", "claim.before", "charge")),
    (Place("worker", "body.after", "record"), Place("worker", "claim.after", "charge")),
    (Place("worker", "finish.before_commit", "record"), Place("worker", "release.before", "charge")),
    (Place("worker", "finish.after_commit", "record"), Place("worker", "release.after", "charge")),
    (Place("worker", "rearm.before", "again"), Place("site", "insert.before", "announce")),
    (Place("worker", "rearm.after", "again"), Place("site", "insert.after", "announce")),
    (Place("worker", "fail.before", "poison"), Place("site", "publish.after", "announce")),
    (Place("worker", "fail.after", "poison"), Place("worker", "release.before_commit", "charge")),
    (Place("worker", "chord.counted", "chord"), Place("site", "commit.before", "announce")),
    (Place("worker", "chord.fired", "chord"),),
    (Place("worker", "start.counted", "killed"),),
    (Place("relay", "relay.selected", "later"),),
    (Place("relay", "relay.marked", "later"),),
    (Place("relay", "relay.published", "later"), Place("site", "publish.before", "announce")),
)
POISON = 2


def send(world: World, place: Place, key: str) -> None:
    """Send what leads to the place. The site dies at its own places, so its answer is not waited for there."""
    producer = world.producer
    if place.kind == "site":
        producer.begin_call(place.task, key)
    elif place.task == "chord":
        producer.flow("chord", key, size=2)
    elif place.task == "later":
        producer.call("record", key, countdown=0.1)
    elif place.task == "killed":  # delivered again, because its process died the first time
        world.failpoints.arm("worker", "body.after", "kill")
        producer.call("record", key)
    elif place.task == "poison":
        producer.call("poison", key, args=("raise",))
    else:
        producer.call(place.task, key)


def open_jobs(world: World) -> int:
    """Return how many jobs are open."""
    [(count,)] = world.jobs("COUNT(*)", "state IN (0, 1, 2)")
    return int(count)


@pytest.mark.parametrize("action", ["kill", "raise"])
def test_no_place_is_a_bad_one(world: World, action: str) -> None:
    # Given every place, one after the other
    for step in STEPS:
        for place in step:
            world.failpoints.arm(place.kind, place.name, action)
            send(world, place, f"{place.name}-{action}")
        # When a program strikes it
        for place in step:
            world.failpoints.wait_fired(place.kind, place.name)
        if step is not STEPS[-1]:
            wait_until(lambda: open_jobs(world) == 0, timeout=RECOVERY, what=f"the end of step {step}")
    if action == "kill":
        # Then nothing is lost, and nobody is parked but poison
        world.check(parked=POISON, declared=SAID)
        return
    # Then what an error stopped is parked with it, and has no effect; an operator's retry does it once
    wait_until(lambda: open_jobs(world) == 0, timeout=RECOVERY, what="the end of everything")
    parked = [task_id for (task_id,) in world.jobs("id", "state = 4 AND error LIKE %s", "FailpointError%")]
    assert parked
    world.manage("jobs", "retry", *parked, "--yes")
    world.check(parked=POISON, declared=SAID)
