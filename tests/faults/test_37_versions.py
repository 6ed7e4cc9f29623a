"""Row 37: a worker of the old version gets a job that only the new one knows, and the reverse."""

from __future__ import annotations

from tests.faults.budgets import STEP
from tests.faults.world import WORKERS, World
from tests.servers.processes import wait_until

BROKER = "redis"
NEW = {"FAULTS_VERSION": "new"}


def test_a_job_that_no_worker_knows_yet_waits_for_one_that_does(world: World) -> None:
    # Given a site of the new version, and workers of the old one that get its job
    site = world.new_producer(**NEW)
    try:
        [task_id] = site.call("novel", "novel")
    finally:
        site.stop()
    logs = [world.programs.log_file(name) for name in WORKERS]
    wait_until(
        lambda: any(task_id in log.read_text(errors="replace") for log in logs),
        timeout=STEP,
        what="an old worker's word",
    )
    # Then it stays open, whatever they say
    assert world.jobs("state, attempts", "id = %s", task_id) in ([(1, 0)], [(0, 0)])
    # When workers of the new version come, it runs, and so does what the old site sends
    for name in WORKERS:
        world.replace(world.worker_program(name, **NEW))  # type: ignore[arg-type]
    world.producer.call("record", "old")
    world.check(declared=(r"unregistered task", r"Unknown task", r"KeyError", r"novel"))
    [(worker,)] = world.database.rows("SELECT worker FROM shop_effect WHERE `key` = 'novel'")
    assert worker.partition("@")[0] in WORKERS
