"""Entry of `./run`, started by file path: loads this folder as the package `launch` and hands over.

Putting the checkout on `sys.path` would import `myproject`, which needs what is not installed yet; putting this folder
or its parent there would let `myproject/logging.py` shadow the standard library. Loading the package by its location
does neither.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path


def load_package(folder: Path, name: str) -> None:
    """Make the package in `folder` importable as `name`."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is not a package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    load_package(Path(__file__).resolve().parent, "launch")
    sys.exit(import_module("launch.command").main(sys.argv[1:]))
