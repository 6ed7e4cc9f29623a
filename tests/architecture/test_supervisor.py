"""The programs in `supervisor/` do what the queue table says: each queue has one consumer, with the table's numbers."""

from __future__ import annotations

import configparser
import re
import shlex

import pytest

from myproject.settings.celery import QUEUES
from tests.architecture.sources import ROOT

PROGRAMS = sorted({queue.program for queue in QUEUES})
APP_OPTION = {"myproject": "myproject", "fast_queue": "myproject.celery:abandon_cart_app"}
SETTINGS = (ROOT / "myproject" / "settings" / "celery.py").read_text()
# Variables that name a queue, with the name they have when nobody sets them.
QUEUE_VARIABLES = dict(re.findall(r'_queue_name\("(\w+)", "(\w+)"\)', SETTINGS))


def read(program: str) -> configparser.SectionProxy:
    """Return the section of one program."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    parser.read(ROOT / "supervisor" / f"{program}.conf")
    return parser[f"program:{program}"]


def options(program: str) -> dict[str, str]:
    """Return a worker's command line as a mapping; the queue variables have their usual names."""
    words = shlex.split(read(program)["command"].replace("\n", " "))
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        if word.startswith("--") and "=" in word:
            name, _, value = word.partition("=")
            found[name] = value
        elif word.startswith("-") and not word.startswith("--"):
            found[word] = words[index + 1]
    found["-Q"] = re.sub(r"%\(ENV_(\w+)\)s", lambda match: QUEUE_VARIABLES[match[1]], found["-Q"])
    return found


def test_one_file_per_worker_program() -> None:
    assert sorted(path.stem for path in (ROOT / "supervisor").glob("worker_*.conf")) == PROGRAMS


def test_every_queue_is_consumed_by_exactly_one_program() -> None:
    consumed = sorted(queue for program in PROGRAMS for queue in options(program)["-Q"].split(","))
    assert consumed == sorted(queue.name for queue in QUEUES)


@pytest.mark.parametrize("program", PROGRAMS)
def test_worker_agrees_with_the_table(program: str) -> None:
    rows = [queue for queue in QUEUES if queue.program == program]
    flags = options(program)
    assert set(flags["-Q"].split(",")) == {queue.name for queue in rows}
    assert flags["-A"] == APP_OPTION[rows[0].app]
    assert {queue.app for queue in rows} == {rows[0].app}
    assert int(flags["--prefetch-multiplier"]) == min(queue.prefetch for queue in rows)


@pytest.mark.parametrize("program", PROGRAMS)
def test_stopping_waits_for_the_longest_task(program: str) -> None:
    section = read(program)
    assert int(section["stopwaitsecs"]) > max(queue.limits.hard for queue in QUEUES if queue.program == program)
    assert (section["stopsignal"], section["stopasgroup"], section["killasgroup"]) == ("TERM", "false", "true")


def test_one_beat() -> None:
    files = [path.read_text() for path in (ROOT / "supervisor").rglob("*.conf")]
    assert sum(text.count(" beat ") for text in files if "[program:beat]" in text) >= 1
    assert sum("[program:beat]" in text for text in files) == 1


def test_production_runs_a_relay() -> None:
    main = (ROOT / "supervisor" / "supervisord.conf").read_text()
    assert " relay.conf " in main
    section = read("relay")
    assert section["command"].endswith("manage.py relay")
    assert (section["stopsignal"], section["killasgroup"], section["autorestart"]) == ("TERM", "true", "true")
