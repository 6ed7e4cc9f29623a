"""`./test`, `./test fast`, `./test faults`, `./test bench` and `./test <arguments of pytest>`."""

from __future__ import annotations

import os
import platform
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from pathlib import Path

from tests.servers.pool import NAMES, ServerPool, server_version, url_variable
from tests.servers.processes import MARK, ROOT, NotAvailable, NotStarted, clean_environment, end_survivors, python
from tests.suite import benchmarks, checks
from tests.suite.passes import ALONE, FAST, Pass, Running, faults_run, full_run, running
from tests.suite.report import Tally, merge_junit

USAGE = """usage: ./test                    everything, against real servers (docs/testing.md)
       ./test fast              the inner loop: SQLite, no servers, under a minute
       ./test [--mariadb | --mysql] ARGS
                                pytest with ARGS, for example: ./test -k refund, ./test tests/orders
       ./test faults [--long] [--seed N] [ARGS]
                                the fault tests alone, quick or long (docs/testing.md)
       ./test bench NAME [--json FILE]
                                a benchmark of tests/benchmarks; without NAME their names
"""
FAILED, COULD_NOT_START, INTERRUPTED = 1, 2, 130
# The options that name a database server, and how it is called in a sentence.
DATABASES = {"mariadb": "MariaDB", "mysql": "MySQL"}


def main(arguments: list[str]) -> int:
    """Run what the arguments ask for and return the exit status."""
    if arguments[:1] in (["-h"], ["--help"], ["help"]):
        print(USAGE, end="")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ[MARK] = f"test-{uuid.uuid4().hex[:10]}"
    shutil.rmtree(checks.REPORTS / "junit", ignore_errors=True)
    shutil.rmtree(checks.REPORTS / "coverage", ignore_errors=True)
    (checks.REPORTS / "state").mkdir(parents=True, exist_ok=True)
    pool = ServerPool.create(outlives_parent=False)
    try:
        return benchmarks.run(arguments[1:]) if arguments[:1] == ["bench"] else run(arguments, pool)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        pool.stop()
        end_survivors(os.environ[MARK], patience=1)


def run(arguments: list[str], pool: ServerPool) -> int:
    """Run checks and passes, print the report, and return the exit status."""
    began, tally = time.monotonic(), Tally()
    seed, arguments = take_seed(arguments)
    fast, whole = arguments[:1] == ["fast"], arguments == []
    print_versions(servers=not fast)
    print(f"Seed: {seed}", flush=True)
    if whole:
        with tally.timed("servers"):
            urls = start_servers(pool, tally)
        if urls is None:
            return COULD_NOT_START
        # Coverage takes a quarter of the time on Python 3.11, and a landing waits for the result alone.
        passes = full_run(urls, coverage=os.environ.get("CI") != "true")
    elif fast:
        passes, arguments = [FAST], arguments[1:]
    elif arguments[0] == "faults":
        passes = [faults_run(long="--long" in arguments)]
        arguments = [one for one in arguments[1:] if one != "--long"]
    else:
        passes = chosen_run(pool, arguments)
        arguments = [one for one in arguments if one.removeprefix("--") not in DATABASES]
    beside = [one for one in passes if one.beside]
    with running(beside, seed=seed, arguments=arguments) as others:
        if fast or whole:
            with tally.timed("checks"):
                run_checks(tally, whole=whole)
        for one in passes:
            if one.name == ALONE:
                finish(others, tally)
            if not one.beside:
                with running([one], seed=seed, arguments=arguments) as started:
                    finish(started, tally)
        finish(others, tally)
    merge_junit([one.name for one in passes])
    if any(one.coverage for one in passes):
        report_coverage()
    pool.stop()
    survivors = end_survivors(os.environ[MARK])
    for pid, command in survivors.items():
        print(f"left behind and killed: {pid} {command[:150]}")
        tally.failed.append(("", f"process left behind: {command[:80]}"))
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in tally.seconds.items())
    print(f"\nTime: {time.monotonic() - began:.0f} s ({parts})")
    print(f"Seed {seed}, reports in {checks.REPORTS.relative_to(ROOT)}")
    print("\n".join(tally.lines(seed=seed)), flush=True)
    return FAILED if tally.failed else 0


def finish(started: list[Running], tally: Tally) -> None:
    """Show passes to their end, count them and take them off the list.

    Ctrl-C reaches us as well and is raised here. A status of pytest's own never means it: 2 is also what it returns
    for a file that cannot be imported.
    """
    while started:
        one = started[0]
        print(f"\n=== Tests: {one.of.name}", flush=True)
        status = one.wait()
        tally.seconds[one.of.name] = one.seconds
        tally.add_pass(one.of.name, Path(one.of.junit), status=status)
        print(f"=== Tests: {one.of.name} took {one.seconds:.0f} s", flush=True)
        del started[0]


def take_seed(arguments: list[str]) -> tuple[int, list[str]]:
    """Return the seed that the arguments name, or a new one, and the other arguments."""
    rest = []
    seed = random.SystemRandom().randrange(2**31)
    if "--seed" in arguments[:-1]:  # in two words, as a person writes it
        place = arguments.index("--seed")
        arguments = [*arguments[:place], f"--seed={arguments[place + 1]}", *arguments[place + 2 :]]
    for argument in arguments:
        found = re.fullmatch(r"--(?:randomly-)?seed=(\d+)", argument)
        if found:
            seed = int(found[1])
        else:
            rest.append(argument)
    return seed, rest


def chosen_run(pool: ServerPool, arguments: list[str]) -> list[Pass]:
    """Return the one pass of a chosen selection. Servers come up when a test asks for one."""
    for name in DATABASES:
        if f"--{name}" not in arguments:
            continue
        try:
            url = pool.url(name)
            print(f"Database: {name} {server_version(name)}", flush=True)
        except (NotAvailable, NotStarted) as missing:
            print(f"test: {DATABASES[name]} is missing: {missing}", file=sys.stderr)
            raise SystemExit(COULD_NOT_START) from None
        # What asks for MariaDB gets the server that was chosen.
        return [Pass(name, workers=0, env={"DATABASE_URL": url, url_variable("mariadb"): url, "FAULTS_DATABASE": name})]
    return [Pass("chosen", workers=0)]


def print_versions(*, servers: bool) -> None:
    """Say what the run stands on."""
    import celery
    import django

    print(f"Python {platform.python_version()}, Django {django.__version__}, Celery {celery.__version__}")
    versions = [f"SQLite {sqlite3.sqlite_version}"]
    for name in NAMES if servers else ():
        try:
            versions.append(f"{name} {server_version(name)}")
        except (NotAvailable, subprocess.CalledProcessError):
            versions.append(f"{name} missing")
    print("Servers: " + ", ".join(versions), flush=True)


def start_servers(pool: ServerPool, tally: Tally) -> dict[str, str] | None:
    """Start every server that the machine has and return their variables; None when CI lacks one that it must have."""
    urls: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name in NAMES:
        try:
            urls[url_variable(name)] = pool.url(name)
        except (NotAvailable, NotStarted) as error:
            missing[name] = str(error)
    for name, reason in missing.items():
        if os.environ.get("CI") == "true":
            print(f"test: CI must have the server {name}, and it is missing: {reason}", file=sys.stderr)
        elif name == "mariadb":
            tally.skipped[f"server mariadb is missing: {reason}"].append("the whole pass on MariaDB")
    return None if missing and os.environ.get("CI") == "true" else urls


def run_checks(tally: Tally, *, whole: bool) -> None:
    """Run the checks beside the tests, with what a failed one printed."""
    print("\n=== Checks", flush=True)
    groups = [checks.check_format]
    if whole:
        groups += [lambda: [checks.check_types()], checks.check_django, checks.check_locks]
    for group in groups:
        began = time.monotonic()
        outcomes = group()
        for outcome in outcomes:
            word = "skipped" if outcome.skipped else "ok" if outcome.passed else "FAILED"
            print(f"  {outcome.name:<24} {word:<8} {(time.monotonic() - began) / len(outcomes):5.1f} s", flush=True)
            if word == "FAILED":
                print(outcome.output, flush=True)
            tally.add_check(outcome)


def report_coverage() -> None:
    """Join the coverage of the passes, write the XML file and print the total."""
    folder = checks.REPORTS / "coverage"
    files = sorted(str(file) for file in folder.glob("data.*"))
    env = clean_environment(COVERAGE_FILE=str(folder / "data"))
    coverage = [python(), "-m", "coverage"]
    for arguments in (["combine", "--quiet", *files], ["xml", "--quiet"]):
        subprocess.run([*coverage, *arguments], cwd=ROOT, env=env, check=False)
    total = subprocess.run(
        [*coverage, "report", "--format=total"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    print(f"\nCoverage: {total.stdout.strip() or '?'} % of lines and branches (coverage.xml)")
