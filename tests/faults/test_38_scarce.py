"""Row 38: programs that may open hardly any file, start no process and have no memory, for a while."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.budgets import LONG
from tests.faults.checker import BROKER_AWAY, DATABASE_AWAY, KILLED
from tests.faults.world import World

BROKER = "valkey"
SECONDS = 10.0 if LONG else 2.0
SAID = (
    *KILLED, *BROKER_AWAY, *DATABASE_AWAY, r"Too many open files", r"MemoryError", r"Cannot allocate memory",
    r"OSError", r"can't start new thread", r"Out of memory", r"memory",
)  # fmt: skip


@contextlib.contextmanager
def limited(pids: list[int], what: int, limit: int) -> Iterator[None]:
    """Lower a limit of running processes for the length of the block; one that dies meanwhile comes back without."""
    before = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            before[pid] = resource.prlimit(pid, what, (limit, resource.prlimit(pid, what)[1]))
    try:
        yield
    finally:
        for pid, old in before.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, what, old)


def open_files(pid: int) -> int:
    """Return the highest number of a file that a process has open, plus one."""
    return max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 1


def mapped(pid: int) -> int:
    """Return the bytes of a process's address space."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def test_a_worker_without_file_numbers_or_processes_recovers(world: World) -> None:
    # Bodies that open nothing themselves: one that cannot has failed by itself, and is rightly parked
    load = world.load(count=10**6, pause=0.02, kinds={"record": 3, "slow": 1})
    world.wait_for_effects(10)
    pid = world.programs.pid("worker_a")
    # When it may open nothing more, and must: its processes die, and starting one takes pipes
    with limited([pid], resource.RLIMIT_NOFILE, open_files(pid)):
        for child in world.programs.children("worker_a"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        world.wait_for_effects(world.effects() + 10)  # the other worker goes on
        time.sleep(SECONDS)
    load.finish()
    world.check(declared=SAID)
    world.check_progress()


@pytest.mark.parametrize("name", ["relay", "worker_a"])
def test_a_program_without_memory_recovers(world: World, name: str) -> None:
    load = world.load(count=10**6, pause=0.02, kinds={"record": 3, "announce": 1})
    world.wait_for_effects(10)
    pid = world.programs.pid(name)
    with limited([pid], resource.RLIMIT_AS, mapped(pid)):
        world.broker.flush()
        world.producer.call("record", *(f"many-{number}" for number in range(500)))
        time.sleep(SECONDS)
    load.finish()
    world.check(declared=SAID)
    world.check_progress()
