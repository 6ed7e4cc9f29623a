"""The same harm to stock Celery and to the platform, side by side: `python -m tests.faults.compare`.

Writes the table of docs/faults.md, between its two marks, and prints it. Each row runs on Redis and MariaDB with the
same tasks, the same load, supervisor and seed; FAULTS_SEED repeats a run. About ten minutes; with numbers of rows
behind it only those are made anew.
"""

from __future__ import annotations

import importlib
import platform
import sys
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.faults.budgets import SETTLE, STOCK_RESTORE, STOCK_VISIBILITY, seed
from tests.faults.checker import Report
from tests.faults.world import WORKERS, World
from tests.servers.processes import ROOT

DOCUMENT = ROOT / "docs" / "faults.md"
BEGIN, END = "<!-- made by python -m tests.faults.compare -->", "<!-- end of what compare made -->"
#: Seconds after the cure for which both are given time. Stock Celery gets a dead worker's messages back after its
#: visibility timeout and one round of its restore, so what has not come by then does not come.
PATIENCE = 45.0

#: Seconds, when all else is done, for which runs of poison are counted: some would go on for ever.
POISON_WATCH = 10.0


@dataclass(frozen=True, eq=False)
class Row:
    """One comparison: the row's module, what stock workers have in their environment, and what it is called."""

    title: str
    module: str
    stock_env: dict[str, Any] = field(default_factory=dict)


ROWS = (
    Row("1 kill -9 of a worker with its pool", "test_01_kill_worker_group"),
    Row("2 kill -9 with a message on the wire", "test_02_message_in_flight"),
    Row("4 tasks that kill their process", "test_04_poison"),
    Row("4 the same, `task_reject_on_worker_lost`", "test_04_poison", {"STOCK_REJECT_ON_WORKER_LOST": "1"}),
    Row("5 messages that are none", "test_05_poison_message"),
    Row("8 Redis killed, back with its data after 3 s", "test_08_broker_restart"),
    Row("8 the same, without remote control", "test_08_broker_restart", {"STOCK_REMOTE_CONTROL": "0"}),
    Row("9 Redis shut down, empty on return", "test_09_broker_shutdown"),
    Row("10 FLUSHALL under load", "test_10_flush"),
    Row("25 messages ten times, late and out of order", "test_25_duplicates"),
)


@dataclass(frozen=True)
class Score:
    """What one side made of a row."""

    promised: int
    lost: int
    doubled: int
    recovery: str
    poison_runs: int

    @classmethod
    def of(cls, world: World, report: Report) -> Score:
        """Return the score of a report. A poison has no effect to lose; how often it ran is counted instead."""
        poison = {key for (key,) in world.database.rows("SELECT `key` FROM shop_intent WHERE kind LIKE 'poison%%'")}
        lost = [key for key in report.findings.lost if key not in poison]
        if poison:
            time.sleep(POISON_WATCH)
        runs = sum(len(world.gates.arrivals(f"poison-{key}")) for key in poison)
        late = bool(lost) or bool(report.findings.open_jobs)
        recovery = f"not in {PATIENCE:.0f}" if late else f"{report.recovery:.1f}"
        return cls(report.findings.intents - len(poison), len(lost), len(report.findings.doubled), recovery, runs)

    def cells(self) -> str:
        """Return the score as cells of a table."""
        lost, doubled = (f"**{number}**" if number else "0" for number in (self.lost, self.doubled))
        return f"{self.promised} | {lost} | {doubled} | {self.recovery}"


def play(world: World, row: Row) -> Score:
    """Run one row in one world."""
    module: Any = importlib.import_module(f"tests.faults.{row.module}")
    world.begin(row.module.removeprefix("test_"))
    if world.stock and row.stock_env:
        for name in WORKERS:
            world.replace(world.worker_program(name, **row.stock_env))
        world.wait_for_workers()
    module.scenario(world)
    return Score.of(world, world.report(within=PATIENCE, declared=(r"",)))


def chosen_rows(numbers: list[str]) -> list[Row]:
    """Return the rows of those numbers, all without any, whose tests are there."""
    folder = Path(__file__).parent
    known = [row for row in ROWS if (folder / f"{row.module}.py").exists()]
    return [row for row in known if not numbers or row.title.split()[0] in numbers]


def compare(rows: list[Row]) -> list[tuple[Row, Score, Score]]:
    """Run rows against both."""
    found: dict[str, dict[Row, Score]] = {"stock": {}, "platform": {}}
    for side, scores in found.items():
        world = World(broker="redis", database="mariadb", stock=side == "stock")
        same: dict[str, Score] = {}
        try:
            world.build()
            for row in rows:
                # The variants of a row differ in stock Celery's settings only.
                if side == "platform" and row.module in same:
                    scores[row] = same[row.module]
                else:
                    scores[row] = same[row.module] = play(world, row)
        finally:
            world.stop()
    return [(row, found["stock"][row], found["platform"][row]) for row in rows]


def line(row: Row, stock: Score, ours: Score) -> str:
    """Return one line of the table."""
    return f"| {row.title} | {stock.cells()} | {ours.cells()} |"


def replace_lines(results: list[tuple[Row, Score, Score]]) -> str:
    """Return the document's table with the lines of some rows made anew."""
    old = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    fresh = {row.title: line(row, stock, ours) for row, stock, ours in results}
    kept = [fresh.pop(text.split(" | ")[0].removeprefix("| "), text) for text in old]
    last = max(number for number, text in enumerate(kept) if text.startswith("|"))
    return "\n".join([*kept[: last + 1], *fresh.values(), *kept[last + 1 :]])


def table(results: list[tuple[Row, Score, Score]]) -> str:
    """Return what stands in the document."""
    celery, kombu = version("celery"), version("kombu")
    lines = [
        f"Python {platform.python_version()}, Celery {celery}, kombu {kombu}, seed {seed()}. "
        f"Recovery in seconds from the cure until the last promise was kept; both were watched for {PATIENCE:.0f} s, "
        f"and {SETTLE:g} s more for doubles. Stock Celery: `task_acks_late`, `worker_prefetch_multiplier=1`, sent on "
        f"commit, `visibility_timeout` {STOCK_VISIBILITY} s and a look for such messages every {STOCK_RESTORE} s (its "
        "defaults are 3,600 s and 100 s, and so would be its recovery).",
        "",
        "| row | stock: promised | lost | doubled | recovery | platform: promised | lost | doubled | recovery |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [line(row, stock, ours) for row, stock, ours in results]
    runs = [
        f"{row.title}: {stock.poison_runs} and {ours.poison_runs}" for row, stock, ours in results if ours.poison_runs
    ]
    if runs:
        said = "; ".join(runs)
        lines += [
            "",
            f"Runs of the six poisons, stock and platform, counted until {POISON_WATCH:.0f} s after all else was done: "
            f"{said}.",
        ]
    return "\n".join(lines)


def write(text: str) -> None:
    """Put the table between its marks."""
    document = DOCUMENT.read_text()
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main(numbers: list[str]) -> int:
    """Compare, print and write. The status is 1 when the platform lost or doubled something."""
    results = compare(chosen_rows(numbers))
    text = replace_lines(results) if numbers else table(results)
    print(text)
    write(text)
    return int(any(ours.lost or ours.doubled for _, _, ours in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
