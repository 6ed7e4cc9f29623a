"""docs/running.md lists every variable that the settings read, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REDIS_PARTS = ("URL", "HOST", "PORT", "DB", "PASSWORD")
SOURCES = ("myproject", "catalog", "notifications", "orders", "search")
# What takes the variable's name first. `read` takes it second, and `read_redis` only the beginning of several.
READERS = {
    "read_between", "read_broker", "read_choice", "read_port", "read_positive", "read_queue_name", "read_rate",
    "read_result_backend", "read_time_zone", "read_web_url",
}  # fmt: skip
# Projects of their own, which read the environment their own way and have papers of their own.
APART = ("myproject/launch/", "myproject/sandbox/")


def sources() -> Iterator[Path]:
    for folder in SOURCES:
        for path in (ROOT / folder).rglob("*.py"):
            if not path.relative_to(ROOT).as_posix().startswith(APART):
                yield path


def text_of(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def variables_read(tree: ast.Module) -> Iterator[str]:
    """Yield the names in read("str", NAME), read_*(NAME), _queue_name(NAME) and os.environ's ways."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            yield text_of(node.slice)
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function = ast.unparse(node.func)
        if function in {"os.environ.get", "os.environ.setdefault", "os.getenv", "_queue_name"}:
            yield text_of(node.args[0])
        elif function == "read" and len(node.args) > 1:
            yield text_of(node.args[1])
        elif function == "read_redis":
            yield from (f"{text_of(node.args[0])}_{part}" for part in REDIS_PARTS)
        elif function in READERS:
            yield text_of(node.args[0])


def test_every_variable_that_is_read_is_listed_and_no_other():
    read = {name for path in sources() for name in variables_read(ast.parse(path.read_text(encoding="utf-8")))}
    _, _, section = (ROOT / "docs" / "running.md").read_text(encoding="utf-8").partition("### Every variable")
    section, _, _ = section.partition("\n#")
    listed = re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)
    assert sorted(listed) == sorted(read - {""})


def test_every_reader_of_the_environment_is_known_to_this_test():
    tree = ast.parse((ROOT / "myproject" / "environment.py").read_text(encoding="utf-8"))
    readers = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("read")}
    assert readers == READERS | {"read", "read_redis"}
