"""docs/mission.md names only what exists: objects, files, tests, registered tasks; and no planned task is here."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from myproject.celery import app
from myproject.jobs.aliases import OLD_TASKS, is_stand_in, planned_targets
from myproject.settings.celery import QUEUES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "mission.md"
HEAD = ["Their name", "Ours", "Where", "Shown by", "Status"]
CODE = re.compile(r"`([^`]+)`")
TASK = re.compile(r"^(?:myproject\.\w+|orders|catalog|notifications|search)\.tasks\.\w+$")


@dataclass(frozen=True)
class Row:
    """One line of the page."""

    number: int
    theirs: str
    ours: str
    where: tuple[str, ...]
    shown: tuple[str, ...]
    status: str


def cells(line: str) -> list[str]:
    """Return the cells of a Markdown table's line; an escaped bar belongs to its cell."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def read_page(text: str) -> tuple[list[Row], dict[str, str]]:
    """Return the rows of every table of the page, and the letters of the plan."""
    rows: list[Row] = []
    letters: dict[str, str] = {}
    head: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("|"):
            head = []
        elif not head:
            head = cells(line)
        elif not line.startswith("| ---"):
            values = cells(line)
            assert len(values) == len(head), f"docs/mission.md:{number}: {len(values)} cells, expected {len(head)}"
            if head == HEAD:
                theirs, ours, where, shown, status = values
                rows.append(Row(number, theirs, ours, tuple(CODE.findall(where)), tuple(CODE.findall(shown)), status))
            else:
                letters[values[0]] = values[1]
    return rows, letters


ROWS, LETTERS = read_page(PAGE.read_text())


def find_faults(row: Row) -> list[str]:
    """Return what is wrong with a row, each as a sentence."""
    faults = [f"{where} does not exist" for where in row.where if not exists(where)]
    faults += [f"{test} is not a test" for test in row.shown if not is_test(test)]
    faults += find_status_faults(row)
    for name in filter(TASK.match, CODE.findall(row.ours)):
        task = app.tasks.get(name)
        if row.status == "works" and (task is None or is_stand_in(task)):
            faults.append(f"{name} is not a task of this version")
        if row.status != "works" and task is not None and not is_stand_in(task):
            faults.append(f"{name} is here, so its row works")
    return faults


def find_status_faults(row: Row) -> list[str]:
    """Return what is wrong with a row's status."""
    if row.status == "works":
        missing = [name for name, values in (("test", row.shown), ("place", row.where)) if not values]
        return [f"works, but names no {name}" for name in missing]
    letter = row.status.removeprefix("planned: ")
    return [] if row.status.startswith("planned: ") and letter in LETTERS else [f"status {row.status!r} is unknown"]


def exists(place: str) -> bool:
    """Tell whether a file of the repository or an importable object has this name."""
    if "/" in place or (ROOT / place).is_file():
        return (ROOT / place).is_file()
    if place in app.tasks:
        return True
    parts = place.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        try:
            functools.reduce(getattr, parts[cut:], found)
        except AttributeError:
            return False
        return True
    return False


def is_test(node_id: str) -> bool:
    """Tell whether a file holds the named test function; it is read and not run."""
    path, _, name = node_id.partition("::")
    return path.startswith("tests/") and name.startswith("test_") and name in read_tests(path)


@functools.cache
def read_tests(path: str) -> frozenset[str]:
    """Return the names of the test functions that a file defines at its top level."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    body = ast.parse(file.read_text()).body
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_the_page_has_a_table_for_each_document():
    headings = re.findall(r"^## (\w+) document", PAGE.read_text(), flags=re.MULTILINE)

    assert headings == ["First", "Second", "Third"]
    assert len(ROWS) > 300


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"line-{row.number}")
def test_every_row_is_true(row):
    assert find_faults(row) == [], f"docs/mission.md:{row.number}: {row.theirs}"


@pytest.mark.parametrize("old", OLD_TASKS, ids=lambda old: old.function)
def test_every_old_task_has_a_row(old):
    rows = [row for row in ROWS if re.search(rf"\b{old.function}\b", row.theirs)]

    assert rows, f"{old.function} stands in myproject/jobs/aliases.py and not in docs/mission.md"
    letters = {row.status for row in rows if old.target in row.ours}
    assert letters == {f"planned: {old.planned}" if old.planned else "works"}


def test_planned_tasks_have_a_letter_of_the_plan():
    assert set(planned_targets().values()) <= set(LETTERS)


@pytest.mark.parametrize("queue", [queue.name for queue in QUEUES])
def test_every_queue_is_named(queue):
    assert f"`{queue}`" in PAGE.read_text()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"where": ("orders.tasks.no_such_task",)}, "orders.tasks.no_such_task does not exist"),
        ({"where": ("myproject/no_such_file.py",)}, "myproject/no_such_file.py does not exist"),
        ({"where": ("myproject.celery.no_such_app",)}, "myproject.celery.no_such_app does not exist"),
        ({"where": ()}, "works, but names no place"),
        ({"shown": ()}, "works, but names no test"),
        (
            {"shown": ("tests/docs/test_mission.py::test_no_such",)},
            "tests/docs/test_mission.py::test_no_such is not a test",
        ),
        ({"shown": ("tests/docs/test_none.py::test_is_true",)}, "tests/docs/test_none.py::test_is_true is not a test"),
        ({"status": "soon", "ours": "later"}, "status 'soon' is unknown"),
        ({"status": "planned: Z", "ours": "later"}, "status 'planned: Z' is unknown"),
        (
            {"ours": "`search.tasks.sync_dgraph_product`"},
            "search.tasks.sync_dgraph_product is not a task of this version",
        ),
        (
            {"ours": "`orders.tasks.process_order`", "status": "planned: C"},
            "orders.tasks.process_order is here, so its row works",
        ),
    ],
    ids=str,
)
def test_a_false_row_is_found(change, fault):
    true = {
        "number": 1,
        "theirs": "`process_order`",
        "ours": "`orders.tasks.process_order`",
        "where": ("orders.tasks.process_order", "myproject/celery.py", "myproject.celery.app"),
        "shown": ("tests/docs/test_mission.py::test_a_false_row_is_found",),
        "status": "works",
    }
    assert find_faults(Row(**true)) == []

    assert find_faults(Row(**(true | change))) == [fault]
