"""The parts of Django and its MySQL driver that our database backends rely on, each held by the digest of its source.

When an upgrade changes one, its test fails: read the part again with its sentence in mind, change
`myproject/databases` if it must be, run tests/databases and tests/jobs, and write the new digest here.
"""

from __future__ import annotations

from importlib.metadata import version

import django
import pytest

from tests.contracts.parts import Part, check

BASE = "django.db.backends.base.base:BaseDatabaseWrapper"
PARTS = (
    Part(
        "django.db.transaction:Atomic.__enter__",
        "1cccb72ad29b",
        "It switches autocommit off with the argument that tells it from everybody else.",
    ),
    Part(
        "django.db.transaction:Atomic.__exit__",
        "6c52b1e68d7d",
        "It rolls back when the commit raises DatabaseError and only then, and switches autocommit on in any case.",
    ),
    Part(f"{BASE}.commit", "54b37694faec", "It calls `_commit`, and has the hooks run when that returns."),
    Part(f"{BASE}.set_autocommit", "4e91610fe9d8", "It calls `_set_autocommit`, and notes the mode when that returns."),
    Part(f"{BASE}.rollback", "40eb099b6c9b", "It drops every hook."),
    Part(f"{BASE}.savepoint_rollback", "64a325396d5e", "It drops the hooks of that savepoint and of those within it."),
    Part(f"{BASE}._savepoint", "3dfa42edf98a", "It goes through a cursor, as a statement that begins with SAVEPOINT."),
    Part(f"{BASE}.on_commit", "3eb44439e2c5", "It appends savepoints and hook to `run_on_commit`."),
    Part(
        "django.db.backends.utils:CursorWrapper._execute_with_wrappers",
        "1f629e7adeb9",
        "It reads the list of wrappers before it calls the first of them, so that one may take itself out.",
    ),
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_part_is_as_it_was_when_ours_was_written(part):
    check(part, version=f"Django {django.__version__}")


#: The server's own driver is not installed everywhere.
MYSQL_PARTS = (
    Part(
        "django.db.backends.mysql.base:DatabaseWrapper._set_autocommit",
        "5b6dd90866a8",
        "It leaves the switch to the driver.",
    ),
    Part(
        "MySQLdb.connections:Connection.autocommit",
        "5bb486f7fb80",
        "It switches when the server's last answer differs.",
    ),
)


@pytest.mark.mariadb
@pytest.mark.parametrize("part", MYSQL_PARTS, ids=lambda part: part.name)
def test_the_part_for_mysql_is_as_it_was_when_ours_was_written(part):
    check(part, version=f"Django {django.__version__}, mysqlclient {version('mysqlclient')}")
