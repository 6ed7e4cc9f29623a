"""Heavy tests are not slowed down by coverage."""

from __future__ import annotations

import sys

import pytest

from tests.suite import uncovered


class Item:
    """A test with or without the marker."""

    def __init__(self, *, marked: bool) -> None:
        self.marked = marked

    def get_closest_marker(self, name: str) -> bool:
        return self.marked and name == "no_cover"


@pytest.mark.no_cover
def test_no_tracer_runs_here() -> None:
    assert sys.gettrace() is None


@pytest.mark.parametrize("marked", [True, False])
def test_the_tracer_is_away_for_as_long_as_the_marked_test(monkeypatch: pytest.MonkeyPatch, marked: bool) -> None:
    tracer = object()
    traced: list[object] = []
    monkeypatch.setattr(uncovered, "sys", type("Sys", (), {"gettrace": lambda: tracer, "settrace": traced.append}))
    call = uncovered.pytest_runtest_call(Item(marked=marked))  # type: ignore[arg-type]
    next(call)
    assert traced == ([None] if marked else [])
    with pytest.raises(StopIteration):
        call.send(None)
    assert traced == ([None, tracer] if marked else [])
