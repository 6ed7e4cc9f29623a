"""Entry of `./test`, started by file path: brings packages and servers to the machine, then hands over to the suite.

Everything after this module runs inside the virtual environment: `python -m tests.suite`.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path


def load_start(folder: Path) -> None:
    """Make the package in `folder` importable as `launch`, with the loader that ./run uses."""
    spec = importlib.util.spec_from_file_location("launch_start", folder / "start.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} has no start.py")
    start = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(start)
    start.load_package(folder, "launch")


if __name__ == "__main__":
    load_start(Path(__file__).resolve().parent)
    sys.exit(import_module("launch.testing_setup").main(sys.argv[1:]))
