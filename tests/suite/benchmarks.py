"""`./test bench NAME`: runs `main(argv)` of a module of tests/benchmarks in the environment of the tests."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

from tests.servers.processes import ROOT, clean_environment, python

FOLDER = ROOT / "tests" / "benchmarks"
COULD_NOT_START = 2
PASSED_ON = ("CI", "COLUMNS", "TERM", "NO_COLOR", "FORCE_COLOR")
RUN = "import importlib, sys; sys.exit(importlib.import_module(sys.argv[1]).main(sys.argv[2:]))"


def names(folder: Path = FOLDER) -> list[str]:
    """Return the benchmarks that there are: the modules with a function `main`; the others are parts of them."""
    return sorted(file.stem for file in folder.glob("*.py") if _has_main(file))


def run(arguments: list[str]) -> int:
    """Run the benchmark that the first argument names and return its exit status; its options are its own."""
    known = names()
    if not arguments or arguments[0] not in known:
        print(
            f"usage: ./test bench NAME [--json FILE]\nNAME is one of: {', '.join(known) or 'none yet'}", file=sys.stderr
        )
        return COULD_NOT_START
    environment = clean_environment(**{name: os.environ[name] for name in PASSED_ON if name in os.environ})
    command = [python(), "-c", RUN, f"tests.benchmarks.{arguments[0]}", *arguments[1:]]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            raise


def _has_main(file: Path) -> bool:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in body)
