"""The frame of the benchmarks, without a server; the arms themselves are tried in test_arms.py."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.benchmarks.frame import Line, Pairs, Rounds, Samples, Target, table


def test_median_and_quartiles() -> None:
    samples = Samples.of([4, 1, 3, 2, 5])
    assert samples.median == 3
    assert samples.quartiles == (1.5, 4.5)
    assert Samples.of([2, 1]).quartiles == (1, 2)
    with pytest.raises(ValueError, match="nothing was measured"):
        Samples.of([])


def test_a_ratio_is_taken_round_by_round() -> None:
    # Given a machine that was twice as slow in the second round, for both arms
    line = Line("x", Samples.of([10, 20, 30]), Samples.of([5, 10, 10]), Target(2))

    # Then the ratio knows nothing of it
    assert line.ratio is not None
    assert line.ratio.values == (2, 2, 3)
    assert line.ratio.median == 2
    assert line.met is True


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (Target(1.3), 1.3, True),
        (Target(1.3), 1.31, False),
        (Target(10, at_most=False), 10, True),
        (Target(10, at_most=False), 9.9, False),
    ],
)
def test_targets(target: Target, value: float, met: bool) -> None:
    assert target.met(value) is met


def test_every_arm_runs_once_per_round_in_an_order_that_changes() -> None:
    order: list[str] = []

    def arm(name: str) -> float:
        order.append(name)
        return 1.0

    rounds = Rounds(count=20)
    numbers = list(rounds.run({name: partial(arm, name) for name in "abc"}))
    assert numbers == list(range(20))
    assert [sorted(order[start : start + 3]) for start in range(0, 60, 3)] == [["a", "b", "c"]] * 20
    assert len({tuple(order[start : start + 3]) for start in range(0, 60, 3)}) > 1
    assert rounds.samples("a", "us").values == (1.0,) * 20


def test_the_two_of_a_pair_follow_each_other_in_either_order() -> None:
    order: list[str] = []

    def arm(name: str, value: float) -> float:
        order.append(name)
        return value

    pairs = Pairs(count=20)
    wanted = [("a", "b"), ("c", "b")]
    pairs.run(wanted, {name: partial(arm, name, value) for name, value in (("a", 1.0), ("b", 2.0), ("c", 3.0))})
    found = ["".join(order[start : start + 2]) for start in range(0, 80, 2)]
    assert {pair: found.count(pair) for pair in found} == {"ab": 10, "ba": 10, "cb": 10, "bc": 10}
    ours, reference = pairs.samples(("c", "b"), "us")
    assert (ours.values, reference.values) == ((3.0,) * 20, (2.0,) * 20)


def test_the_table_says_what_is_met() -> None:
    lines = [
        Line("cheap", Samples.of([110], "us"), Samples.of([100], "us"), Target(1.3)),
        Line("dear", Samples.of([2345], "us"), Samples.of([1000], "us"), Target(1.3)),
        Line("alone", Samples.of([0.25, 0.5], "s"), target=Target(1, unit="s")),
        Line("told", Samples.of([2], "us"), Samples.of([1], "us")),
    ]
    assert table(lines).splitlines() == [
        "| what  | ours               | reference | ratio  | target  | met |",
        "|-------|--------------------|-----------|--------|---------|-----|",
        "| cheap | 110 us             | 100 us    | 1.1 x  | <= 1.3x | yes |",
        "| dear  | 2,345 us           | 1,000 us  | 2.35 x | <= 1.3x | NO  |",
        "| alone | 0.375 s (0.25-0.5) |           |        | <= 1 s  | yes |",
        "| told  | 2 us               | 1 us      | 2 x    |         |     |",
    ]


def test_json_holds_every_sample() -> None:
    found = json.loads(json.dumps(Line("x", Samples.of([1, 2], "us"), Samples.of([1, 1], "us"), Target(3)).as_json()))
    assert found == {
        "what": "x",
        "ours": {"unit": "us", "values": [1, 2]},
        "reference": {"unit": "us", "values": [1, 1]},
        "ratio": 1.5,
        "ratio_quartiles": [1, 2],
        "target": "<= 3x",
        "met": True,
        "note": "",
    }
