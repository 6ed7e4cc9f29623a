"""Only `myproject.states.transition` assigns a status; the stand-in shares no code with us and has one writer too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, name_of, parse, python_files

WRITER = ROOT / "myproject" / "states.py"
# A `status` that is no model's: exit statuses, HTTP statuses of errors.
NOT_A_MODEL = ("myproject/launch/", "myproject/sandbox/errors.py")
Kinds = tuple[type[ast.stmt | ast.expr], ...]
UPDATES = {"update", "update_or_create", "bulk_update", "bulk_create", "save", "aupdate", "asave"}


def is_status(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value == "status"


def names_status(node: ast.expr) -> bool:
    """Tell whether an argument is or holds the word: "status", ["status", ...], {"status": ...}."""
    if isinstance(node, ast.Dict):
        return any(is_status(key) for key in node.keys)
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return any(is_status(element) for element in node.elts)
    return is_status(node)


def writes_status(node: ast.AST) -> bool:
    """Tell whether a statement or call gives an existing row another status. Creating a row with its first is fine."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        flat = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
        return any(isinstance(target, ast.Attribute) and target.attr == "status" for target in flat)
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name) and node.func.id == "setattr":
        return len(node.args) > 1 and is_status(node.args[1])
    if not (isinstance(node.func, ast.Attribute) and node.func.attr in UPDATES):
        return False
    keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    if node.func.attr in {"update", "aupdate"} and "status" in keywords:
        return True
    named = [*node.args[1:], *(keywords[name] for name in ("defaults", "update_fields", "fields") if name in keywords)]
    return any(names_status(argument) for argument in named)


def writers(
    paths: tuple[Path, ...], *, kinds: tuple[type[ast.stmt | ast.expr], ...] = (ast.stmt, ast.expr)
) -> list[str]:
    return [
        f"{name_of(path)}:{node.lineno}"
        for path in paths
        for node in ast.walk(parse(path))
        if isinstance(node, kinds) and writes_status(node)
    ]


def test_one_function_assigns_status() -> None:
    elsewhere = tuple(
        path
        for path in python_files()
        if path != WRITER and not name_of(path).startswith(("myproject/sandbox/", *NOT_A_MODEL))
    )
    assert writers(elsewhere) == []


def test_one_file_of_the_stand_in_assigns_status() -> None:
    # Given the assignments alone: what they assigned is saved together with other fields
    paths = tuple(path for path in python_files("myproject/sandbox") if not name_of(path).startswith(NOT_A_MODEL))
    assert {place.partition(":")[0] for place in writers(paths, kinds=(ast.stmt,))} <= {"myproject/sandbox/states.py"}


@pytest.mark.parametrize(
    "code",
    [
        "order.status = 'PAID'",
        "order.number, order.status = 1, 'PAID'",
        "setattr(order, 'status', 'PAID')",
        "Order.objects.filter(pk=1).update(status='PAID')",
        "Order.objects.bulk_update(orders, ['status'])",
        "Order.objects.bulk_update(orders, fields=('status',))",
        "Order.objects.update_or_create(pk=1, defaults={'status': 'PAID'})",
        "order.save(update_fields=['status'])",
        "Order.objects.bulk_create(orders, update_conflicts=True, update_fields=['status'])",
    ],
)
def test_rule_sees_every_way_to_write(code: str) -> None:
    assert any(writes_status(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    ["Order(status='NEW')", "Order.objects.create(status='NEW')", "Order.objects.filter(status='NEW')", "x = o.status"],
)
def test_rule_lets_reading_and_creating_pass(code: str) -> None:
    assert not any(writes_status(node) for node in ast.walk(ast.parse(code)))
