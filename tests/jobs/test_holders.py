"""A holder is dead only when its number, on this very machine and boot, belongs to no living process of its age."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from billiard.process import current_process

from myproject.jobs.holders import has_witness, is_dead, make_holder

pytestmark = pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="needs /proc")


def changed(**parts: str) -> str:
    place, boot, pid, start = make_holder().split("/")
    found = {"place": place, "boot": boot, "pid": pid, "start": start} | parts
    return "/".join(found.values())


def test_a_living_process_is_not_dead() -> None:
    assert is_dead(make_holder()) is False
    assert len(make_holder()) <= 191


def test_a_process_that_ended_is_dead_before_and_after_its_parent_noticed() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "from myproject.jobs.holders import make_holder; print(make_holder())"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    holder = child.stdout.read().strip()
    assert holder.split("/")[2] == str(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended and not yet reaped
    assert is_dead(holder) is True
    child.communicate()
    assert is_dead(holder) is True


def test_a_number_that_was_given_again_is_not_the_old_process() -> None:
    assert is_dead(changed(start="1")) is True


@pytest.mark.parametrize(
    "holder",
    [
        None,
        "",
        "worker@host",
        "a/b/c/d",
        "host:-/-/1/-",
        pytest.param(make_holder().replace(f"/{os.getpid()}/", f"/{2**70}/"), id="no such process number"),
    ],
)
def test_what_cannot_be_judged_is_not_dead(holder: str | None) -> None:
    assert is_dead(holder) is False


def test_a_process_of_another_boot_or_another_container_is_not_judged() -> None:
    gone = {"pid": "4194304", "start": "1"}
    assert is_dead(changed(**gone)) is True
    assert is_dead(changed(**gone, boot="another")) is False
    assert is_dead(changed(**gone, place="host:1")) is False
    assert is_dead(changed(**gone, place="host:-")) is False


def test_the_name_of_the_machine_does_not_matter() -> None:
    """Two machines may share a name; a boot id is of one machine alone."""
    namespace = make_holder().split("/")[0].rpartition(":")[2]
    assert is_dead(changed(place=f"another-name:{namespace}", start="1")) is True


def test_the_main_process_of_a_pool_is_the_witness_of_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_witness(make_holder()) is False
    monkeypatch.setattr(current_process(), "_name", "ForkPoolWorker-1")
    holder = make_holder()
    assert holder.split("/")[4] == str(os.getppid())
    assert (is_dead(holder), has_witness(holder)) == (False, True)
    *rest, _ = holder.split("/")
    assert has_witness("/".join([*rest, "1"])) is False
    assert len(holder) <= 191
