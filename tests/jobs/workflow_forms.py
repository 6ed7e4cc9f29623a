"""Forms of workflows, each with the result that it comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import chain, chord, group

FORMS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "chain": (lambda t: chain(t.add.s(2, 2), t.add.s(4), t.add.s(8)), 16),
    "immutable step": (lambda t: chain(t.add.s(2, 2), t.add.si(10, 1)), 11),
    "group": (lambda t: group(t.add.s(n, n) for n in range(4)), [0, 2, 4, 6]),
    "chord": (lambda t: chord([t.add.s(n, n) for n in range(10)], t.total.s()), 90),
    "chord of one": (lambda t: chord([t.add.s(1, 1)], t.total.s()), 2),
    "chord of none": (lambda t: chord([], t.gather.s()), []),
    "chord of a generator": (lambda t: chord((t.add.s(n, n) for n in range(5)), t.gather.s()), [0, 2, 4, 6, 8]),
    "group into task": (lambda t: group(t.add.s(2, 2), t.add.s(4, 4)) | t.total.s(), 12),
    "nested chords": (
        lambda t: chord([chord([t.add.si(n, 1), t.add.si(n, 2)], t.total.s()) for n in (0, 10)], t.gather.s()),
        [3, 23],
    ),
    "chord of chains": (
        lambda t: chord([chain(t.add.s(n, 1), t.add.s(10)) for n in range(3)], t.gather.s()),
        [11, 12, 13],
    ),
    "chord into chord": (
        lambda t: chord([t.add.s(1, 1), t.add.s(2, 2)], t.total.s()) | group(t.add.s(10), t.add.s(20)) | t.total.s(),
        16 + 26,
    ),
    "group in a chain": (
        lambda t: chain(t.add.s(1, 1), group(t.add.s(n) for n in range(10)), t.total.s(), t.add.s(100)),
        10 * 2 + 45 + 100,
    ),
    "chord in a chain": (
        lambda t: chain(t.add.s(1, 1), chord([t.add.s(10), t.add.s(20)], t.total.s()), t.add.s(1000)),
        1034,
    ),
    "chain into group": (lambda t: chain(t.add.s(1, 1), group(t.add.s(1), t.add.s(2))), [3, 4]),
    "body that is a group": (
        lambda t: chord([t.add.s(1, 1), t.add.s(2, 2)], group(t.total.s(), t.gather.s())),
        [6, [2, 4]],
    ),
    "body that is a chain": (lambda t: chord([t.add.s(1, 1), t.add.s(2, 2)], chain(t.total.s(), t.add.s(5))), 11),
    "group of groups": (
        lambda t: chord(group(t.add.s(1, 1), group(t.add.s(2, 2), t.add.s(3, 3))), t.total.s()),
        12,
    ),
    "ignored parts": (lambda t: chord([t.ignored.s(n) for n in range(3)], t.gather.s()), [0, 1, 2]),
    "map": (lambda t: t.total.map([[2, 2], [4, 4]]), [4, 8]),
    "starmap": (lambda t: t.add.starmap([(2, 2), (4, 4)]), [4, 8]),
    "chunks": (lambda t: t.add.chunks([(n, n) for n in range(6)], 2), [[0, 2], [4, 6], [8, 10]]),
    "chord of chunks": (
        lambda t: chord(t.add.chunks([(n, n) for n in range(6)], 2).group(), t.gather.s()),
        [[0, 2], [4, 6], [8, 10]],
    ),
    "retry in a chain": (lambda t: chain(t.flaky.s(2, 5), t.add.s(1)), 6),
    "retry in a chord": (lambda t: chord([t.flaky.s(2, 5), t.add.s(1, 1)], t.gather.s()), [5, 2]),
    "replaced by a task": (lambda t: chain(t.replaced.s(1, "task"), t.add.s(1)), 102),
    "replaced by a chain": (lambda t: chain(t.replaced.s(1, "chain"), t.add.s(1)), 1003),
    "replaced by a group": (lambda t: t.replaced.s(1, "group"), [2, 3]),
    "replaced by a chord": (lambda t: chain(t.replaced.s(1, "chord"), t.add.s(1)), 6),
    "replaced thrice": (lambda t: chain(t.replaced.s(1, "thrice"), t.add.s(1)), 104),
    "part replaced by a chord": (
        lambda t: chord([t.replaced.s(1, "chord"), t.add.s(1, 1)], t.gather.s()),
        [5, 2],
    ),
    "part replaced by a chain": (
        lambda t: chord([t.replaced.s(1, "chain"), t.add.s(1, 1)], t.gather.s()),
        [1002, 2],
    ),
    "part added to the chord": (
        lambda t: chord([t.adds_part.s(1), t.add.s(1, 1)], t.gather.s()),
        [1, 2, 1001],
    ),
    "group body in a chord": (
        lambda t: chord(
            [chord([t.add.s(1, 1), t.add.s(2, 2)], group(t.total.s(), t.total.s())), t.add.s(5, 5)], t.gather.s()
        ),
        [[6, 6], 10],
    ),
    "groups in a row": (
        lambda t: chain(
            t.add.s(1, 1), group(t.add.s(1), t.add.s(2)), group(t.total.s(), t.total.s()), t.total.s(), t.add.s(1)
        ),
        15,
    ),
    "chain body that ends in a group": (
        lambda t: chord([t.adds_part.s(1), t.flaky.s(1, 7)], chain(t.total.s(), group(t.add.s(1), t.add.s(2)))),
        [1010, 1011],
    ),
}
