"""No failpoint is forgotten: each is declared, passed by the platform's code, and struck by row 23 in both ways."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import myproject
from myproject.jobs import failpoints
from myproject.jobs.failpoints import NAMES, FailpointError
from tests.faults import test_23_failpoints as row

PLATFORM = Path(myproject.__file__).parent


def passed() -> Counter[str]:
    """Return how often each name stands in a call of `hit` in the platform's code."""
    found: Counter[str] = Counter()
    for file in PLATFORM.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "hit":
                [name] = node.args
                assert isinstance(name, ast.Constant), f"{file.name}: a failpoint's name is written out"
                found[str(name.value)] += 1
    return found


def test_each_failpoint_is_declared_and_stands_at_one_place() -> None:
    assert passed() == dict.fromkeys(NAMES, 1)


def test_row_23_strikes_each_of_them_by_kill_and_by_raise() -> None:
    assert sorted(place.name for step in row.STEPS for place in step) == sorted(NAMES)
    [mark] = row.test_no_place_is_a_bad_one.pytestmark  # type: ignore[attr-defined]
    assert mark.args == ("action", ["kill", "raise"])


def test_a_folder_arms_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "_folder", tmp_path)
    (tmp_path / "claim.after").write_text("raise")
    failpoints.hit("claim.before")
    with pytest.raises(FailpointError, match=r"claim\.after"):
        failpoints.hit("claim.after")
    failpoints.hit("claim.after")
    assert [file.name for file in tmp_path.iterdir()] == ["claim.after.fired"]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="nowhere:kill"):
        failpoints.arm("nowhere:kill")
