"""Ids of jobs: UUIDs that say when they were made, in the order in which they were made."""

from __future__ import annotations

import time
import uuid

from myproject.jobs.task_ids import LENGTH, new_id


def test_an_id_is_a_uuid_of_version_7_that_begins_with_the_time():
    before = time.time_ns() // 1_000_000
    text = new_id()
    found = uuid.UUID(text)

    assert (str(found), len(text)) == (text, LENGTH)
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert before <= found.int >> 80 <= time.time_ns() // 1_000_000


def test_the_ids_of_a_process_are_in_order_and_none_is_there_twice():
    ids = [new_id() for _ in range(20_000)]

    assert ids == sorted(set(ids))
    assert len({text[19] for text in ids}) == 4  # every variant digit comes up
