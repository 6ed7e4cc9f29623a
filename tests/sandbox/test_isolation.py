"""The stand-in shares no code with the platform: it imports nothing of this project but itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "myproject" / "sandbox"
OURS = {"myproject", "orders", "catalog", "notifications", "search", "tests"}


def imported_names(file: Path) -> list[str]:
    """Return what a file imports, relative imports written out."""
    folder = file.parent.relative_to(ROOT).parts
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else ()
            names.append(".".join((*base, *([node.module] if node.module else []))))
    return names


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_file_imports_nothing_else_of_the_project(file: Path) -> None:
    ours = [name for name in imported_names(file) if name.partition(".")[0] in OURS]

    assert [name for name in ours if not f"{name}.".startswith("myproject.sandbox.")] == []


def test_relative_imports_are_written_out() -> None:
    names = {name for file in PACKAGE.rglob("*.py") for name in imported_names(file)}

    assert {"myproject.sandbox.configuration", "myproject.sandbox.actions.orders"} <= names
