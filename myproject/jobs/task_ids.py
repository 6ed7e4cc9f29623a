"""Ids of jobs: UUIDs of version 7 (RFC 9562, section 5.7), which begin with the time.

Rows are clustered by id on MySQL and MariaDB: ids in order append, random ones split pages all over the table. The
twelve bits behind the milliseconds count 4,096ths of one (section 6.2, method 3): the ids of one process are in the
order in which they were made, which takes longer than that.
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
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    chance = int.from_bytes(os.urandom(8), "big") >> 2
    number = milliseconds << 80 | _VERSION | (rest * 4096 // 1_000_000) << 64 | _VARIANT | chance
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
