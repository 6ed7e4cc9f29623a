"""What an error looks like in a list, and which errors are of one cause."""

from __future__ import annotations

import hashlib
import re

_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line \d+, in (?P<function>\S+)', re.MULTILINE)
_VARYING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+", re.IGNORECASE)


def headline(error: BaseException) -> str:
    """Return the error's class and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def fingerprint(error: BaseException, traceback: str | None = None) -> str:
    """Return 16 characters that are the same for errors of one class that were raised in one place.

    The place is the file and function of the last frame; lines move with every change of the file. An error without a
    traceback goes by its text, numbers left out.
    """
    frames = _FRAME.findall(traceback or "")
    if frames:
        file, function = frames[-1]
        place = f"{'/'.join(file.split('/')[-2:])}:{function}"
    else:
        place = _VARYING.sub("#", str(error))
    kind = type(error)
    return hashlib.sha256(f"{kind.__module__}.{kind.__qualname__} {place}".encode()).hexdigest()[:16]
