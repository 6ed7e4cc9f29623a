"""`./test bench jobs [--json FILE] [--rounds N] [--only NAME]`: prints the table of the task platform's costs.

docs/benchmarks.md says what each line measures and how to read it. The exit status is 0 when every target is met, 1
when one is missed, 2 when the run could not start.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import closing, million, relays, transactions, workers
from tests.benchmarks.frame import Line, table
from tests.benchmarks.stand import Stand, stand
from tests.servers.mariadb import mariadb_version
from tests.servers.processes import NotAvailable
from tests.servers.redis import redis_binary, redis_version

#: What `--only` may name, in the order of the table.
BENCHMARKS: dict[str, Callable[..., list[Line]]] = {
    "transaction": transactions.measure,
    "close": closing.measure,
    "relay": relays.measure,
    "workers": workers.measure,
    "million": million.measure,
    "kill": workers.measure_kill,
}
#: Rounds of each benchmark: the quartiles of five are worth printing, and the whole table takes about five minutes.
ROUNDS = 5
PACKAGES = ("celery", "kombu", "redis", "django", "mysqlclient")


def main(arguments: Sequence[str]) -> int:
    """Measure and print the table; return the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # servers and folder go with the contexts
    names = options.only or list(BENCHMARKS)
    lines: list[Line] = []
    try:
        with stand() as servers:
            database_url = servers.migrated("bench")
            for name in names:
                lines += _measured(name, servers, database_url=database_url, rounds=options.rounds)
    except NotAvailable as missing:
        print(f"bench: {missing}", file=sys.stderr)
        return 2
    print(f"\n{table(lines)}\n\n{_machine_sentence()}")
    for note in dict.fromkeys(f"{line.what}: {line.note}" for line in lines if line.note):
        print(note)
    if options.json:
        found = {"machine": _machine(), "lines": [line.as_json() for line in lines]}
        Path(options.json).write_text(json.dumps(found, indent=1))
    return 1 if any(line.met is False for line in lines) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./test bench jobs", description="Costs of the task platform, as ratios.")
    parser.add_argument("--json", metavar="FILE", help="write every sample of every round to FILE as well")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"rounds, {ROUNDS} without it")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="only this one; may be repeated")
    return parser


def _measured(name: str, servers: Stand, *, database_url: str, rounds: int) -> list[Line]:
    begin = time.monotonic()
    print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
    lines = BENCHMARKS[name](servers, database_url=database_url, rounds=rounds)
    print(f"{time.monotonic() - begin:.0f} s", flush=True, file=sys.stderr)
    return lines


def _machine() -> dict[str, Any]:
    return {
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "mariadb": mariadb_version(),
        "redis server": redis_version(redis_binary()),
        **{name: version(name) for name in PACKAGES},
    }


def _machine_sentence() -> str:
    found = _machine()
    busy = (
        " Other programs kept the processors busy: measure again." if found["load"] > 2 * (os.cpu_count() or 1) else ""
    )
    versions = ", ".join(
        f"{name} {found[name]}" for name in ("python", "mariadb", "redis server", *PACKAGES[:2], "django")
    )
    return (
        f"{found['processors']} processors, load {found['load']:.1f} at the end; {versions};"
        f" innodb_flush_log_at_trx_commit=1. In brackets: quartiles of the rounds.{busy}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
