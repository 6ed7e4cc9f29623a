"""What every benchmark shares: samples with a median and a spread, lines of the table, and the order of rounds.

Only ratios mean anything. Each round measures every arm once, or every pair of arms, in shuffled order, and a ratio is
the median over the rounds of (one arm / the other arm in the same round): load from elsewhere then touches both sides
alike.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Samples:
    """The same figure once per round."""

    values: tuple[float, ...]
    unit: str = ""

    @classmethod
    def of(cls, values: Sequence[float], unit: str = "") -> Samples:
        """Return the samples of a sequence; there must be at least one."""
        if not values:
            raise ValueError("nothing was measured")
        return cls(tuple(values), unit)

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Where the middle half of the values lies; the extremes while there are fewer than four."""
        if len(self.values) < 4:
            return min(self.values), max(self.values)
        low, _, high = statistics.quantiles(self.values, n=4)
        return low, high

    def __str__(self) -> str:
        return f"{_short(self.median)} {self.unit}".strip()


def ratios(ours: Samples, reference: Samples) -> Samples:
    """Return ours / reference round by round."""
    pairs = zip(ours.values, reference.values, strict=True)
    return Samples.of([one / other for one, other in pairs], "x")


@dataclass(frozen=True)
class Target:
    """What a figure is held to: at most or at least a limit."""

    limit: float
    at_most: bool = True
    unit: str = "x"

    def met(self, value: float) -> bool:
        """Tell whether a figure keeps the target."""
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        return f"{sign} {_short(self.limit)}{'' if self.unit == 'x' else ' '}{self.unit}"


@dataclass(frozen=True)
class Line:
    """One line of the table. Without a reference the target holds for `ours`, otherwise for the ratio."""

    what: str
    ours: Samples
    reference: Samples | None = None
    target: Target | None = None
    note: str = ""

    @property
    def ratio(self) -> Samples | None:
        """Ours / reference; None without a reference."""
        if self.reference is None:
            return None
        if len(self.ours.values) == len(self.reference.values):
            return ratios(self.ours, self.reference)
        return Samples.of([self.ours.median / self.reference.median], "x")

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None for a line that is only information."""
        if self.target is None:
            return None
        return self.target.met((self.ratio or self.ours).median)

    def as_json(self) -> dict[str, Any]:
        """Return the line with all of its samples."""
        return {
            "what": self.what,
            "ours": {"unit": self.ours.unit, "values": self.ours.values},
            "reference": self.reference and {"unit": self.reference.unit, "values": self.reference.values},
            "ratio": self.ratio.median if self.ratio else None,
            "ratio_quartiles": self.ratio.quartiles if self.ratio else None,
            "target": str(self.target) if self.target else None,
            "met": self.met,
            "note": self.note,
        }


@dataclass
class Rounds:
    """Runs arms in shuffled rounds and keeps one figure per arm and round."""

    count: int
    seed: int = 1
    found: dict[str, list[float]] = field(default_factory=dict)

    def run(self, arms: Mapping[str, Callable[[], float]]) -> Iterator[int]:
        """Measure every arm once per round and yield the number of each finished round."""
        order = random.Random(self.seed)
        for number in range(self.count):
            names = list(arms)
            order.shuffle(names)
            for name in names:
                self.found.setdefault(name, []).append(arms[name]())
            yield number

    def samples(self, arm: str, unit: str) -> Samples:
        """Return what one arm measured."""
        return Samples.of(self.found[arm], unit)


@dataclass
class Pairs:
    """Runs pairs of arms in shuffled rounds, the two of a pair one right after the other.

    For ratios that are held to a few per cent: the machine is not the same from one second to the next.
    """

    count: int
    seed: int = 1
    found: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)

    def run(self, pairs: Sequence[tuple[str, str]], arms: Mapping[str, Callable[[], float]]) -> None:
        """Measure every pair once per round, each time the other one of the two first."""
        order = random.Random(self.seed)
        for number in range(self.count):
            for pair in order.sample(pairs, len(pairs)):
                one, other = pair if number % 2 else pair[::-1]
                first, second = arms[one](), arms[other]()
                self.found.setdefault(pair, []).append((first, second) if number % 2 else (second, first))

    def samples(self, pair: tuple[str, str], unit: str) -> tuple[Samples, Samples]:
        """Return what the two arms of a pair measured."""
        ours, reference = zip(*self.found[pair], strict=True)
        return Samples.of(ours, unit), Samples.of(reference, unit)


HEADINGS = ("what", "ours", "reference", "ratio", "target", "met")


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table; the ratio with its quartiles."""
    rows = [HEADINGS, *(_cells(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    drawn = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([drawn[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *drawn[1:]])


def _cells(line: Line) -> tuple[str, ...]:
    ratio = "" if line.ratio is None else _with_spread(line.ratio)
    met = {True: "yes", False: "NO", None: ""}[line.met]
    ours = str(line.ours) if line.reference else _with_spread(line.ours)
    return (line.what, ours, str(line.reference or ""), ratio, str(line.target or ""), met)


def _with_spread(samples: Samples) -> str:
    if len(samples.values) == 1:
        return str(samples)
    low, high = samples.quartiles
    return f"{samples} ({_short(low)}-{_short(high)})"


def _short(value: float) -> str:
    """Return three significant figures, with commas above a thousand."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
