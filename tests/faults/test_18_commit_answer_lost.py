"""Row 18: the database commits and its answer is lost: who asked cannot know."""

from __future__ import annotations

import pytest

from tests.faults.budgets import STEP, rounds
from tests.faults.checker import DATABASE_AWAY, KILLED
from tests.faults.load import ProducerError
from tests.faults.world import World
from tests.servers.proxy import Proxy

BROKER = "valkey"


def is_commit(request: bytes) -> bool:
    """Tell whether a client asks for a commit: by itself, or in one exchange with what rides along."""
    text = request.lower()  # SET autocommit=0 is none of both
    return text.endswith((b"commit", b"commit;set autocommit=1"))


def test_a_body_whose_commit_is_in_doubt_is_not_applied_twice(world: World) -> None:
    count = rounds(quick=4, long=40)
    with world.link(to="database", programs=["worker_a"]) as link:
        dropped = link.drop_answer(is_commit, times=count)
        load = world.load(count=10**6, pause=0.01, kinds={"record": 3, "charge": 1})
        assert dropped.wait(STEP), "no commit passed the link"
        load.finish()
        world.check(declared=(*DATABASE_AWAY, *KILLED))
    # Nobody was told of an attempt: the database was in trouble, not the job
    assert world.jobs("COUNT(*)", "attempts > 1") == [(0,)]


def test_a_request_whose_commit_is_in_doubt_left_a_promise_or_nothing(world: World) -> None:
    with Proxy(world.database.port) as link:
        url = world.database.url.replace(f":{world.database.port}/", f":{link.port}/")
        site = world.new_producer(DATABASE_URL=url)
        try:
            site.call("record", "first")
            dropped = link.drop_answer(is_commit)
            with pytest.raises(ProducerError, match="OperationalError"):
                site.call("record", "in-doubt")
            assert dropped.wait(STEP)
        finally:
            site.stop()
    # It was committed; its message was not published by the one who thought that it failed
    assert world.database.rows("SELECT COUNT(*) FROM shop_intent WHERE `key` = 'in-doubt'") == [(1,)]
    world.check()
