"""Row 22: MariaDB hangs, its sockets open and silent, and goes on later."""

from __future__ import annotations

import time

import pytest

from tests.faults.budgets import LONG
from tests.faults.checker import DATABASE_AWAY, KILLED
from tests.faults.load import ProducerError
from tests.faults.world import World

BROKER = "redis"
SECONDS = 30.0 if LONG else 5.0
#: What a request may take on top of the time that the database stood still.
PATIENCE = 10.0
#: Seconds that the driver may wait for one answer: where an operator sets it in DATABASE_URL, and the least that
#: DATABASE_READ_TIMEOUT may say.
IN_ADDRESS, LEAST = 2, 11


def test_a_database_that_hangs_loses_and_doubles_nothing(world: World) -> None:
    load = world.load(count=10**6, pause=0.02, kinds={"record": 4, "charge": 2, "announce": 2})
    world.wait_for_effects(10)
    with world.database.frozen():
        time.sleep(SECONDS)  # leases of 3 s end meanwhile: nobody could renew them
    made = load.finish()
    assert made.slowest < SECONDS + PATIENCE
    world.check(declared=(*DATABASE_AWAY, *KILLED, r"lease"))
    world.check_progress()


@pytest.mark.parametrize("seconds", [IN_ADDRESS, LEAST], ids=["in the address", "in the settings"])
def test_a_request_gives_up_after_the_driver_s_timeout(world: World, seconds: int) -> None:
    if seconds == IN_ADDRESS:
        environment = {"DATABASE_URL": f"{world.database.url}?read_timeout={seconds}&connect_timeout=2"}
    else:
        environment = {"DATABASE_READ_TIMEOUT": str(seconds)}
    site = world.new_producer(**environment)
    try:
        site.call("record", "before")
        began = time.monotonic()
        with world.database.frozen():
            with pytest.raises(ProducerError, match="OperationalError"):
                site.call("record", "meanwhile")
            took = time.monotonic() - began
        assert took < seconds + PATIENCE
        site.call("record", "after")
    finally:
        site.stop()
    world.check(declared=DATABASE_AWAY)
