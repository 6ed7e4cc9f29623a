"""What must hold after every fault, counted in the tables and in the receiver's ledger, never in the platform's words.

I1 each committed intent has exactly one effect and a rolled-back one has none; I2, I4 the receiver did each keyed thing
once; I5 all of it soon after the cure; I8 nobody is parked but injected poison; I9 logs show no errors but the
declared. `World.check` runs these; I6 (every worker makes progress) is `World.check_progress`.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.world import World

#: Kinds of intents whose effect stands in the receiver's ledger; all others' are rows.
OUTSIDE = ("charge", "announce", "mail")
#: Words of a log line that tell of an error: a level in JSON, or the head of a traceback in plain text.
ERROR_LEVELS = ("error", "critical")
PLAIN_ERROR = re.compile(r"^Traceback \(most recent call last\)|\b(?:CRITICAL|ERROR)\b|Segmentation fault")

#: Lines of a plain entry that are read: more than a chain of tracebacks has, and few enough to look through often.
LONGEST = 500

#: What a worker, a relay or a producer may rightly complain about while its broker is away or refuses.
BROKER_AWAY = (
    r"Cannot connect to redis", r"Connection to broker lost", r"ConnectionError", r"Connection refused",
    r"Connection reset", r"TimeoutError", r"Timeout reading", r"Connection closed by server", r"Error while reading",
    r"Error \d+ connecting", r"OperationalError", r"broker", r"Couldn't ack", r"Unrecoverable error", r"ResponseError",
    r"OutOfMemoryError", r"ReadOnlyError", r"NoReplicas", r"MISCONF", r"LOADING", r"BusyLoading", r"pidbox",
    r"Broken pipe", r"Bad file descriptor", r"redis",
)  # fmt: skip
#: What the pool's main process says when one of its processes was killed.
KILLED = (r"WorkerLostError", r"SIGKILL", r"signal 9", r"Process '?ForkPoolWorker.*exited", r"Timed out waiting for UP")
#: What may be said while the database is away.
DATABASE_AWAY = (r"OperationalError", r"InterfaceError", r"MySQL", r"MariaDB", r"database")


@dataclass
class Findings:
    """The state of all promises at one moment."""

    intents: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)  # effects of what was rolled back
    open_jobs: int = 0
    parked: int = 0
    why: list[str] = field(default_factory=list)  # the errors of what is parked
    oddities: list[str] = field(default_factory=list)


@dataclass
class Report:
    """What one row found. `recovery` counts from the cure until the last promise was kept, in seconds."""

    row: str
    findings: Findings
    recovery: float
    errors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        found = self.findings
        text = (
            f"row {self.row}: {found.intents} intents, {len(found.lost)} lost, {len(found.doubled)} doubled, "
            f"{len(found.ghosts)} of rolled-back ones, {found.parked} parked, {found.open_jobs} open, "
            f"recovery {self.recovery:.1f} s"
        )
        for name in ("lost", "doubled", "ghosts", "oddities", "why"):
            if some := getattr(found, name):
                text += f"\n  {name}: {', '.join(some[:8])}"
        return text + "".join(f"\n  log: {error[:400]}" for error in self.errors[:8])


def look(world: World) -> Findings:
    """Count promises and effects as they stand now."""
    rows = world.database.rows
    intents: dict[str, str] = dict(rows("SELECT `key`, kind FROM shop_intent"))
    effects = Counter(dict(rows("SELECT `key`, COUNT(*) FROM shop_effect GROUP BY `key`")))
    applied = world.oracle.applied()
    found = Findings(intents=len(intents))
    parked = parked_keys(world)
    for key, kind in intents.items():
        if world.stock and kind.startswith("poison"):
            continue  # stock Celery promises nothing about it; the comparison counts how often it ran
        done = (applied if kind in OUTSIDE else effects)[key]
        # Mail has no key at the receiver: when nobody knows whether it went out, it is parked and not sent again.
        if done == 0 and not (kind in ("mail", "poison", "poison_outside") and key in parked):
            found.lost.append(key)
        elif done > 1:
            found.doubled.append(key)
    found.ghosts = [key for key in [*effects, *applied] if key not in intents and not key.startswith(UNCOUNTED)]
    found.oddities = [what for (what,) in rows("SELECT what FROM shop_oddity")]
    if not world.stock:
        [(found.open_jobs,)] = rows("SELECT COUNT(*) FROM jobs_job WHERE state IN (0, 1, 2)")
        found.why = [f"{task} {error}" for task, error in rows("SELECT task, error FROM jobs_job WHERE state = 4")]
        found.parked = len(found.why)
    return found


#: Keys of effects that no intent stands for: probes, best-effort tasks and what a row counts by itself.
UNCOUNTED = ("probe", "free")


def parked_keys(world: World) -> set[str]:
    """Return the first argument of every parked job."""
    if world.stock:
        return set()
    return {
        str(json.loads(body)[0][0])
        for (body,) in world.database.rows("SELECT body FROM jobs_job WHERE state = 4")
        if json.loads(body)[0]
    }


def wait_for_all(world: World, *, within: float) -> tuple[Findings, float]:
    """Wait until every promise is kept and nothing is open; return what stands then and how long it took."""
    began = time.monotonic()
    while True:
        found = look(world)
        took = time.monotonic() - began
        if not found.lost and not found.open_jobs:
            return found, took
        if took > within:
            return found, took
        time.sleep(0.1)


def log_errors(files: Iterable[Path], *, since: dict[Path, int], declared: Iterable[str]) -> list[str]:
    """Return the errors that the programs' logs hold since the row began, apart from the declared ones."""
    allowed = [re.compile(pattern) for pattern in declared]
    errors = []
    for file in files:
        if not file.exists():
            continue
        with file.open(errors="replace") as log:
            log.seek(since.get(file, 0))
            for entry in _entries(log.read().splitlines()):
                if not any(pattern.search(entry) for pattern in allowed):
                    errors.append(f"{file.stem}: {entry}")
    return errors


def _entries(lines: list[str]) -> Iterable[str]:
    """Yield what tells of an error: a JSON line of that level, or a plain line with what follows it."""
    for number, line in enumerate(lines):
        if line.startswith("{"):
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue
            if event.get("level") in ERROR_LEVELS:
                yield line
        elif PLAIN_ERROR.search(line):
            yield "\n".join(_until_json(lines[number : number + LONGEST]))


def _until_json(lines: list[str]) -> Iterable[str]:
    """Yield a plain line and the plain lines after it: the name of an error stands at the end of its traceback."""
    return itertools.takewhile(lambda line: not line.startswith("{"), lines)
