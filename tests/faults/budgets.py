"""How long and how often: the quick form by default, the long form of the matrix with FAULTS_LONG=1.

The seed is that of the test run (`--seed N`), or FAULTS_SEED. FAULTS_BUDGET_FACTOR stretches every deadline for a slow
machine. A deadline is never what a test waits for: it is when the test gives up.
"""

from __future__ import annotations

import os
import random

LONG = os.environ.get("FAULTS_LONG") == "1"
FACTOR = float(os.environ.get("FAULTS_BUDGET_FACTOR", "2"))

#: I5: everything that was promised is done this long after the cure.
RECOVERY = 30 * FACTOR
#: The same when a link went silent without an end: nobody can know before keep-alives and timeouts have passed.
HALF_OPEN_RECOVERY = 60 * FACTOR
#: A program imports Django and Celery and connects: 2 s on an idle core.
START = 45 * FACTOR
#: What must merely happen, such as a task reaching its gate.
STEP = 30 * FACTOR
#: The lease of tasks that call outside: long enough for a claim, a heartbeat and a close on a slow machine, and short
#: enough to wait for its end in a test.
LEASE = 3.0
#: Seconds until stock Celery counts a dead worker's messages as lost, and between two looks for such. Its defaults are
#: an hour and 100 s, which no comparison can wait for; the documents say so beside the table.
STOCK_VISIBILITY, STOCK_RESTORE = 10, 5
#: How long a quiet system is watched for effects that come twice.
SETTLE = 3.0 if LONG else 0.7


def rounds(*, quick: int, long: int) -> int:
    """Return how often a row repeats its fault."""
    return long if LONG else quick


def seed() -> int:
    """Return the seed of this run; the same for everybody who asks in this process and in those that it starts."""
    return int(os.environ.setdefault("FAULTS_SEED", str(random.SystemRandom().randrange(2**31))))


def seed_of(row: str) -> int:
    """Return the seed of a row, made from the seed of the run, so that a row alone repeats what it did among others."""
    return random.Random(f"{seed()}:{row}").randrange(2**31)
