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


def new_id() -> str:
    """Return a new id. Put together as text: two of them are made for each job, and numbers took twice as long."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    moment = f"{milliseconds:012x}7{rest * 4096 // 1_000_000:03x}"  # 7 is the version
    chance = os.urandom(8).hex()
    variant = "89ab"[ord(chance[0]) & 3]
    return f"{moment[:8]}-{moment[8:12]}-{moment[12:]}-{variant}{chance[1:4]}-{chance[4:]}"
