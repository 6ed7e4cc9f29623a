"""The real orders under fire: `python -m tests.faults.replay [--orders FILE] [--kill-every 10] [--flushes 3]`.

Makes a copy of the checkout, runs `./run` in it, and while the file is replayed kills every worker with SIGKILL again
and again and empties both Redis servers some times. Prints the reconciliation, what the sweep found afterwards and
what the relay did; ends with 0 when the difference is 0.00 and the sweep found nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import redis

from myproject.launch.places import read_json
from tests.launch.clones import Clone
from tests.servers.processes import kill_group

#: Seconds that a replay of the whole file may take on a slow machine while its workers die.
LONGEST = 3_000


class Fire:
    """Kills and flushes while a replay goes on."""

    def __init__(self, clone: Clone, *, kill_every: float, flushes: int) -> None:
        self.clone, self.kill_every, self.flushes_left = clone, kill_every, flushes
        self.kills = self.flushes = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Until the replay has ended: kill all workers; at every second time empty Redis, as often as asked."""
        while not self.ended.wait(self.kill_every):
            if self.flushes_left and self.kills % 2 == 0:
                self.flush()
            self.kill_workers()

    def kill_workers(self) -> None:
        """Kill every worker with its children; supervisor starts them again."""
        pids = [pid for name, pid in self.clone.program_ids().items() if name.startswith("worker_") and pid > 0]
        for pid in pids:
            kill_group(pid)
        self.kills += 1

    def flush(self) -> None:
        """Empty both brokers, results and caches included."""
        env = read_json(self.clone.checkout.current)["environment"]
        for name in ("REDIS_URL", "ABANDON_CART_REDIS_URL"):
            redis.Redis.from_url(env[name]).flushall()
        self.flushes += 1
        self.flushes_left -= 1


def sweep(clone: Clone) -> dict[str, int]:
    """Return what the sweep finds, by kind, when nothing may wait at all."""
    code = (
        "import json; from django.conf import settings; settings.SWEEP_AFTER = 0;"
        "from django.utils import timezone; from orders.actions.sweep import sweep_stuck_orders;"
        "print(json.dumps(sweep_stuck_orders(now=timezone.now())))"
    )
    found: dict[str, int] = json.loads(clone.run("shell", "-c", code).output.strip().splitlines()[-1])
    return found


def job_figures(clone: Clone) -> dict[str, Any]:
    """Return how many jobs there are by state, and how many messages the relay published again."""
    env = read_json(clone.checkout.current)["environment"]
    with closing(sqlite3.connect(Path(env["STATE_DIR"]) / "db.sqlite3")) as database:
        states = dict(database.execute("SELECT state, COUNT(*) FROM jobs_job GROUP BY state").fetchall())
        again = database.execute("SELECT SUM(deliveries), MAX(attempts) FROM jobs_job").fetchone()
    return {"by_state": states, "published_again": again[0], "most_attempts": again[1]}


def replay(clone: Clone, fire: Fire, *, orders: Path | None) -> tuple[int, dict[str, Any]]:
    """Run `./run` under fire; return its status and what it printed."""
    started = clone.start("--json", *(["--orders", orders] if orders else []))  # type: ignore[arg-type]
    started.wait_for(lambda printed: "orders placed" in printed, what="the replay sending orders", timeout=600)
    thread = threading.Thread(target=fire.run)
    thread.start()
    try:
        ended = started.wait(LONGEST)
    finally:
        fire.ended.set()
        thread.join()
    if not ended.output.strip():
        print(ended, file=sys.stderr)
        return ended.status or 1, {}
    return ended.status, json.loads(ended.output)


def main(argv: list[str] | None = None) -> int:
    """Replay under fire, print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=Path, help="a file of the form of the shipped one; default: the shipped one")
    parser.add_argument("--kill-every", type=float, default=10.0, help="seconds between two kills of all workers")
    parser.add_argument("--flushes", type=int, default=3, help="how often Redis is emptied")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        clone = Clone(Path(folder) / "clone", mark=f"fire-{os.getpid()}-{uuid.uuid4().hex[:6]}")
        fire = Fire(clone, kill_every=options.kill_every, flushes=options.flushes)
        try:
            begun = time.monotonic()
            status, figures = replay(clone, fire, orders=options.orders)
            seconds = time.monotonic() - begun
            found = sweep(clone) if figures else {}
            jobs = job_figures(clone) if figures else {}
            clone.run("stop")
        finally:
            clone.end()
    report = {
        "kills": fire.kills,
        "flushes": fire.flushes,
        "seconds": round(seconds, 1),
        "reconciliation": figures,
        "sweep": found,
        "jobs": jobs,
    }
    print(json.dumps(report, indent=2))
    clean = figures.get("difference") == "0.00" and not any(found.values())
    return 0 if status == 0 and clean else 1


if __name__ == "__main__":
    sys.exit(main())
