"""What 10^6 open jobs change: row 6 of the table."""

from __future__ import annotations

import statistics
import time
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.frame import Line, Rounds, Samples, Target
from tests.benchmarks.measuring import Measurer, measurer
from tests.servers.processes import wait_until

if TYPE_CHECKING:
    from tests.benchmarks.stand import Stand

MILLION = 1_000_000
#: Jobs of one arm per round, and rounds per unit of --rounds.
BLOCK, ROUNDS_EACH = 60, 8
LATER = 3600.0
#: A relay may take this many MB more for 10^6 open jobs than for none: a few of its batches, not a share of the rows.
GROWTH = 50.0
#: Seconds that a relay works on 10^6 due jobs before its memory is read: some hundred of its batches.
RELAY_SECONDS = 10.0


# --- In the measuring process ----------------------------------------------------------------------------------------


def run_block(*, what: str, count: int) -> float:
    """Claim or close `count` new jobs, each in its transaction; return the microseconds of the middle one."""
    from myproject.jobs import ledger
    from tests.benchmarks import loading

    prefix = uuid.uuid4().hex[:8]
    loading.load_jobs(count=count, state=1, due_in=LATER, prefix=prefix)
    ids = [f"{prefix}-0000-7000-8000-{number:012X}" for number in range(1, count + 1)]
    done, times = 0, []
    for task_id in ids:
        begin = time.perf_counter()
        if what == "claim":
            done += ledger.claim(task_id, epoch=0, holder="bench", lease=LATER) is not None
        else:
            with ledger.closing(task_id, epoch=0, retention=LATER) as closed:
                done += closed
        times.append(time.perf_counter() - begin)
    if done != count:
        raise AssertionError(f"{done} of {count} jobs were open")
    return statistics.median(times) * 1e6


def run_list() -> float:
    """Read a page of the list, and its count, the ways operators do; return the milliseconds of the slowest page."""
    from myproject.jobs.queries.filters import JobFilter
    from myproject.jobs.queries.jobs import count_jobs, list_jobs
    from myproject.jobs.states import JobState

    open_jobs = (JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING)
    filters = (
        JobFilter(),
        JobFilter(states=open_jobs),
        JobFilter(states=open_jobs, queue="default"),
        JobFilter(states=(JobState.QUEUED,), task="benchmarks.touch"),
        JobFilter(states=(JobState.PARKED,)),
    )
    slowest = 0.0
    for wanted in filters:
        begin = time.perf_counter()
        list_jobs(wanted)
        count_jobs(wanted)
        slowest = max(slowest, time.perf_counter() - begin)
    return slowest * 1000


# --- In the parent ---------------------------------------------------------------------------------------------------


def measure(stand: Stand, *, database_url: str, rounds: int) -> list[Line]:
    """Return the lines of the relay's memory, of a page of the list, and of a claim and a close."""
    name = database_url.rpartition("/")[2]
    empty, full = stand.database("empty", like=name), stand.database("million", like=name)
    logs = stand.folder / "logs"
    with (
        measurer("ours", env=stand.ours(empty), folder=logs) as small,
        measurer("ours", env=stand.ours(full), folder=logs) as large,
    ):
        large.call("loading:load_jobs", count=MILLION, state=1, due_in=LATER)
        large.call("loading:analyze")
        large.call("loading:settle")
        lines = _row_changes(small, large, rounds=rounds)
        large.call("million:run_list")
        pages = Samples.of([large.call("million:run_list") for _ in range(rounds)], "ms")
        lines.append(
            Line("10^6 open jobs: slowest page of the list, with its count", pages, target=Target(100, unit="ms"))
        )
        large.call("loading:make_due")
        lines.append(_relay_memory(stand, small=empty, large=full))
    return lines


def _row_changes(small: Measurer, large: Measurer, *, rounds: int) -> list[Line]:
    arms = {
        f"{what}/{size}": partial(process.call, "million:run_block", what=what, count=BLOCK)
        for what in ("claim", "close")
        for size, process in (("empty", small), ("million", large))
    }
    for arm in arms.values():
        arm()
    found = Rounds(count=rounds * ROUNDS_EACH)
    for _ in found.run(arms):
        pass
    return [
        Line(
            f"{what} of a job, 10^6 open jobs / empty table",
            found.samples(f"{what}/million", "us"),
            found.samples(f"{what}/empty", "us"),
            Target(1.1),
        )
        for what in ("claim", "close")
    ]


def _relay_memory(stand: Stand, *, small: str, large: str) -> Line:
    peaks = []
    for url in (small, large):
        with stand.relay(url, window=10 * MILLION) as relay:
            begin = time.monotonic()
            wait_until(
                lambda begin=begin: time.monotonic() - begin > RELAY_SECONDS,  # type: ignore[misc]
                timeout=RELAY_SECONDS * 2,
                what="the relay's work",
                pause=0.5,
            )
            peaks.append(peak_memory(relay.pid))
        stand.forget_messages()
    growth = Samples.of([peaks[1] - peaks[0]], "MB")
    note = f"peak {peaks[1]:.0f} MB, {peaks[0]:.0f} MB with no job"
    return Line("10^6 due jobs: growth of the relay's peak memory", growth, target=Target(GROWTH, unit="MB"), note=note)


def peak_memory(pid: int) -> float:
    """Return the most memory that a process ever held, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/{pid}/status has no VmHWM")
