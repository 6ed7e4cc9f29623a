"""Row 45: jobs are cancelled while they wait, and then every worker starts anew. Stock Celery forgets its revokes."""

from __future__ import annotations

from tests.faults.world import WORKERS, World


def test_what_was_cancelled_never_runs(world: World) -> None:
    held = world.producer.call("gated", "running-1", "running-2", "running-3", "running-4", args=("gate",))
    world.wait_for_gate("gate", times=4)  # every process of both workers is busy, so what comes next waits
    waiting = world.producer.call("record", *(f"free-waiting-{one}" for one in range(20)), owes=False)
    later = world.producer.call("record", *(f"free-later-{one}" for one in range(5)), owes=False, countdown=1)
    world.producer.revoke(*waiting, *later)
    for name in WORKERS:
        world.programs.kill(name)
    world.broker.flush()
    world.gates.open("gate")

    world.check()
    world.check_progress()
    assert world.database.rows("SELECT COUNT(*) FROM shop_effect WHERE `key` LIKE 'free-%%'") == [(0,)]
    marks = ",".join(["%s"] * len(waiting + later))
    assert world.jobs("DISTINCT state", f"id IN ({marks})", *waiting, *later) == [(5,)]
    marks = ",".join(["%s"] * len(held))
    assert world.jobs("DISTINCT state", f"id IN ({marks})", *held) == [(3,)]
