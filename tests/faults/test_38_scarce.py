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
def limited(pid: int, what: int, limit: int) -> Iterator[None]:
    """Lower a limit of a running process for the length of the block; one that dies meanwhile comes back without.

    It is the machine that was short of something, so what the process has started meanwhile is freed with it: a child
    inherits a limit and would keep it for good.
    """
    before = resource.prlimit(pid, what, (limit, resource.prlimit(pid, what)[1]))
    try:
        yield
    finally:
        free = [pid]
        while free:  # parents first: a child that is not listed yet inherits what its parent has by now
            one = free.pop()
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                resource.prlimit(one, what, before)
                free += children(one)


def children(pid: int) -> list[int]:
    """Return the processes that any thread of a process has started and not yet buried."""
    return [int(one) for listed in Path(f"/proc/{pid}/task").glob("*/children") for one in listed.read_text().split()]


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
    pid = world.programs.wait_for_pid("worker_a")
    # When it may open nothing more, and must: its processes die, and starting one takes pipes
    with limited(pid, resource.RLIMIT_NOFILE, open_files(pid)):
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
    pid = world.programs.wait_for_pid(name)
    world.producer.call("record", *(f"many-{number}" for number in range(500)))
    # When it must receive, or publish again, what a flush has taken, and may have no more memory for it. Not for long:
    # a job that finds no memory three times is rightly parked
    with limited(pid, resource.RLIMIT_AS, mapped(pid)):
        world.broker.flush()
        time.sleep(SECONDS)
    load.finish()
    world.check(declared=SAID)
    world.check_progress()
