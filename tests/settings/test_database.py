"""How long the driver waits for the database, in which program, and what becomes of an answer that does not come."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from django.db import OperationalError
from django.db.utils import load_backend

from myproject.jobs.errors import is_passing
from myproject.settings import base
from tests.servers.fixtures import MariadbServer
from tests.servers.processes import ROOT, clean_environment

URL = "mysql://user:password@127.0.0.1:1/name"
TIMEOUTS = ("connect_timeout", "read_timeout", "write_timeout")


def test_every_wait_for_mysql_has_an_end() -> None:
    options = base.read_database(URL)["OPTIONS"]
    assert [options[name] for name in TIMEOUTS] == [5, 60, 20]
    assert f"innodb_lock_wait_timeout={base.LOCK_WAIT}" in options["init_command"]
    assert options["read_timeout"] > base.LOCK_WAIT


def test_the_address_wins_over_the_settings() -> None:
    options = base.read_database(f"{URL}?read_timeout=300&connect_timeout=2")["OPTIONS"]
    assert [options[name] for name in TIMEOUTS] == [2, 300, 20]


def test_a_proxy_that_takes_one_statement_at_a_time_is_said_in_the_address() -> None:
    settings = base.read_database(f"{URL}?multi_statements=false")
    assert settings["OPTIONS"]["multi_statements"] is False
    assert settings["ENGINE"] == "myproject.databases.mysql"


def test_sqlite_knows_no_such_option() -> None:
    assert not set(TIMEOUTS) & set(base.read_database("sqlite:///x.sqlite3")["OPTIONS"])


@pytest.mark.parametrize(
    ("program", "given", "seconds"),
    [
        ("import myproject.wsgi", {}, 20),
        ("import myproject.wsgi", {"DATABASE_READ_TIMEOUT": "45"}, 45),
        ("import myproject.celery", {"DJANGO_SETTINGS_MODULE": "myproject.settings.development"}, 60),
        ("import sys, manage; sys.argv = ['manage.py', 'migrate', '--help']; manage.main()", {}, 86_400),
        ("import sys, manage; sys.argv = ['manage.py', 'relay', '--help']; manage.main()", {}, 60),
    ],
    ids=["web", "web with its own", "worker", "migrate", "relay"],
)
def test_each_program_waits_as_long_as_its_work_takes(program: str, given: dict[str, str], seconds: int) -> None:
    code = f"""
import atexit
from django.conf import settings
atexit.register(lambda: print(settings.DATABASES["default"]["OPTIONS"]["read_timeout"]))
{program}
"""
    environment = clean_environment(DATABASE_URL=URL, **given)
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.stdout.split()[-1:] == [str(seconds)], answer.stderr


@pytest.mark.server
def test_an_answer_that_does_not_come_is_trouble_of_the_database(
    mariadb_server: MariadbServer, django_db_blocker: Any
) -> None:
    settings: dict[str, Any] = base.read_database(f"{mariadb_server.fresh_url()}?read_timeout=1")
    settings |= {"TIME_ZONE": None, "AUTOCOMMIT": True, "ATOMIC_REQUESTS": False, "TEST": {}}
    connection = load_backend(settings["ENGINE"]).DatabaseWrapper(settings, "slow")
    try:
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            began = time.monotonic()
            with pytest.raises(OperationalError) as caught:
                cursor.execute("SELECT SLEEP(60)")
    finally:
        connection.close()
    assert time.monotonic() - began < 30
    assert caught.value.args[0] == 2013
    assert is_passing(caught.value)
