"""Ids of jobs: UUIDs of version 7 (RFC 9562, section 5.7), which begin with the time.

Rows are clustered by id on MySQL and MariaDB: ids in order append, random ones split pages all over the table.
"""

from __future__ import annotations

import os
import time

#: Characters of a UUID's text.
LENGTH = 36

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62


def new_id() -> str:
    """Return a new id."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) & ~(0x3 << 62) | _VERSION | _VARIANT
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
