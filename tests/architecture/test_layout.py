"""A reader finds a thing before opening a folder: the same names in every app, short files, no drawers."""

from __future__ import annotations

import pytest

from tests.architecture.sources import APPS, ROOT, functions, name_of, parse, python_files, tracked_files

TOP_LEVEL = {
    "manage.py", "myproject", "orders", "catalog", "notifications", "search", "requirements.txt", "supervisor", "tests",
    "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "docs", "run", "test",
}  # fmt: skip
MODULES = ("models", "actions", "queries", "tasks", "states", "errors", "admin", "api", "apps", "migrations")
ALSO_IN_EVERY_APP = {"management", "templates", "static", "panels"}  # panels: what the app shows on the home page
# What single apps have beside the common names: outside systems, each behind a Protocol, and shipped data.
ALSO = {
    "orders": {"gateways", "replay"},
    "catalog": {"data", "feeds"},
    "notifications": {"channels"},
    "search": {"backends", "words"},
}
DRAWERS = {"utils", "util", "helpers", "helper", "misc", "manager", "managers"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60


def test_top_level_is_what_the_readme_says() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    assert {name for name in found if not name.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize("app", APPS)
def test_app_has_the_common_names_and_no_others(app: str) -> None:
    names = {
        path.stem if path.suffix == ".py" else path.name
        for path in (ROOT / app).iterdir()
        if path.name not in {"__pycache__", "__init__.py"}
    }
    assert [name for name in MODULES if name not in names] == []
    assert names - set(MODULES) - ALSO_IN_EVERY_APP - ALSO.get(app, set()) == set()


def test_no_file_is_a_drawer() -> None:
    parts = {part for path in python_files() for part in (*path.relative_to(ROOT).parts[:-1], path.stem)}
    assert parts & DRAWERS == set()


def test_files_stay_short() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in python_files()}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_stay_short() -> None:
    too_long = {
        f"{name_of(path)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in python_files()
        for node in functions(parse(path))
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    }
    assert too_long == {}
