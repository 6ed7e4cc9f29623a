"""What is said of workers that do not answer: names and seconds, and nothing when nobody could be asked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from myproject.launch import health, places, site
from myproject.launch.problems import Problem
from myproject.launch.terminal import Terminal


@pytest.fixture(autouse=True)
def nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "worker_nodes", lambda checkout, environment: ["main:orders", "cart:cart"])


def make_checkout(root: Path, *, answer: str | None) -> places.Checkout:
    """Return a working copy whose interpreter is a script that answers so; None: it has none."""
    checkout = places.Checkout(root=root, state=root / ".state")
    checkout.python.parent.mkdir(parents=True)
    if answer is not None:
        checkout.python.write_text(f"#!/bin/sh\n{answer}\n")
        checkout.python.chmod(0o755)
    return checkout


def ask(checkout: places.Checkout) -> dict[str, float]:
    return health.silent_workers(checkout, {}, timeout=1)


def test_silent_workers_are_names_and_seconds(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path, answer="echo 'cart:cart 8.1'; echo 'main:orders 8.1'; exit 3")
    assert ask(checkout) == {"cart": 8.1, "orders": 8.1}


def test_when_all_answer_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert ask(make_checkout(tmp_path, answer="echo; exit 0")) == {}


@pytest.mark.parametrize("answer", ["exit 1", None])
def test_nobody_asked_is_no_name_of_a_worker(tmp_path: Path, answer: str | None) -> None:
    with pytest.raises(health.NotAsked):
        ask(make_checkout(tmp_path, answer=answer))


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            "echo 'main:orders 240.0'; exit 3",
            "the worker orders did not answer for 240 s: see ./run logs worker_orders",
        ),
        ("exit 1", "the workers could not be asked whether they are up: see ./run logs worker_orders"),
    ],
)
def test_a_start_says_which_worker_it_waited_for(tmp_path: Path, answer: str, line: str) -> None:
    checkout = make_checkout(tmp_path, answer=answer)
    place = places.Place(folder=tmp_path / "place", orders=tmp_path / "orders.csv")
    made = site.Site(checkout, place, Terminal(io.StringIO()), host="127.0.0.1")
    made.environment = {}
    with pytest.raises(Problem) as caught:
        made._wait_for_workers()
    assert str(caught.value) == line
