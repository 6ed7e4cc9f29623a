"""Parts of other people's code that ours relies on, each held by the digest of its source."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from typing import Any, NamedTuple


class Part(NamedTuple):
    """A function or class by its path (`module:name`), the digest of its source, and what we rely on."""

    name: str
    digest: str
    relied_on: str


def find(name: str) -> Any:
    """Return what a path names, without decorators."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for step in path.split("."):
        found = getattr(found, step)
    return inspect.unwrap(found)


def check(part: Part, *, version: str) -> None:
    """Check that the part is as it was when ours was written; say what to read again when it is not."""
    digest = hashlib.sha256(inspect.getsource(find(part.name)).encode()).hexdigest()[:12]
    assert digest == part.digest, (
        f"{part.name} changed ({version}). What we rely on: {part.relied_on} Read it again; if that still holds, its"
        f" digest here becomes {digest}."
    )
