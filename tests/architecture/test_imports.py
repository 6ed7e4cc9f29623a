"""Imports point one way, and the provider's stand-in shares nothing with the platform."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.architecture.sources import ROOT, name_of, parse, python_files

# What the stand-in may name of its surroundings: itself. (Python runs myproject/__init__.py on the way to it.)
SANDBOX = "myproject.sandbox"
# Part of the launcher, but started with the environment's own Python once everything is installed.
RUNS_INSIDE_THE_ENVIRONMENT = {"myproject/launch/workers.py"}
PROJECT = ("myproject", "orders", "catalog", "notifications", "search", "tests")


def imported(path: Path) -> list[str]:
    """Return the absolute dotted names that a file imports, those inside functions too."""
    package = list(path.relative_to(ROOT).with_suffix("").parts)[:-1]
    names: list[str] = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names += [f"{module}.{alias.name}" for alias in node.names]
    return names


def is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.slow
def test_import_contracts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_sandbox_imports_only_itself() -> None:
    foreign = [
        (name_of(path), name)
        for path in python_files("myproject/sandbox")
        for name in imported(path)
        if (is_inside(name, "myproject") and not is_inside(name, SANDBOX)) or name.split(".")[0] in PROJECT[1:]
    ]
    assert foreign == []


def test_nothing_imports_the_sandbox() -> None:
    users = [
        (name_of(path), name)
        for path in python_files()
        if not name_of(path).startswith("myproject/sandbox/")
        for name in imported(path)
        if is_inside(name, SANDBOX)
    ]
    assert users == []


def test_launcher_imports_only_itself_and_the_standard_library() -> None:
    foreign = [
        (name_of(path), name)
        for path in python_files("myproject/launch")
        if name_of(path) not in RUNS_INSIDE_THE_ENVIRONMENT
        for name in imported(path)
        if name.split(".")[0] in PROJECT and not is_inside(name, "myproject.launch")
    ]
    assert foreign == []


def test_production_code_does_not_import_the_tests() -> None:
    assert [name_of(path) for path in python_files() for name in imported(path) if is_inside(name, "tests")] == []
