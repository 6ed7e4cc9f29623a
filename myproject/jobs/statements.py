"""The text of every statement that changes a job's row, built once for each kind of server.

Every `%` that is not a placeholder is doubled: all of these run with parameters.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from myproject.jobs.states import JobState

#: Seconds that a copy of a message waits for the row that another process works on or that a relay has in its batch.
#: No waiting at all was wrong: a relay's batch lasts some milliseconds, and 5 jobs of 7,800 then waited for the relay.
#: MariaDB is told so in front of the statement. MySQL cannot be: there the statement passes over a row that is locked,
#: and a count of 0 that may mean this is asked about (`ledger._once_free`).
PATIENCE = 1


class Statements:
    """The statements of one kind of server, as text that is built once."""

    def __init__(self, *, server: str) -> None:
        key = "jobs_uniquekey (`key`, job_id) VALUES (%s, %s)"
        if server == "sqlite":
            self.now = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"
            self.later = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', %s || ' seconds')"
            self.skip = self.lock = ""
            self.insert_new = "INSERT OR IGNORE INTO"  # and count what was not there yet
            self.take_key = f"{self.insert_new} {key}"
            claimed = " RETURNING token"
            next_token = "token + 1"
        else:
            self.now = "UTC_TIMESTAMP(6)"
            self.later = "UTC_TIMESTAMP(6) + INTERVAL %s SECOND"
            self.lock, self.skip = " FOR UPDATE", " FOR UPDATE SKIP LOCKED"
            self.insert_new = "INSERT IGNORE INTO"
            # IGNORE would lock a key that is there for reading only, and of two who then write it one is a deadlock.
            self.take_key = f"INSERT INTO {key} ON DUPLICATE KEY UPDATE job_id=job_id"
            claimed = ""
            next_token = "LAST_INSERT_ID(token + 1)"  # the driver hands it back with the answer: no second statement
        # In front of a statement on one row that must not wait for as long as the session does.
        self._briefly = f"SET STATEMENT innodb_lock_wait_timeout={PATIENCE:d} FOR " if server == "mariadb" else ""
        self.passes_over = server == "mysql"
        self._begin(claimed=claimed, next_token=next_token)
        self._hold()
        self._end()

    def _begin(self, *, claimed: str, next_token: str) -> None:
        """Closing in the body's transaction, counting a start, claiming."""
        now, later = self.now, self.later
        self.close = (
            f"{self._briefly}UPDATE jobs_job SET state={JobState.SUCCEEDED:d}, due_at={later}, finished_at={now}"
            f" WHERE {self._free(f'id=%s AND epoch=%s AND state={JobState.QUEUED:d}')}"
        )
        self.count_start = (
            f"UPDATE jobs_job SET attempts=attempts+1, due_at={later}"
            f" WHERE id=%s AND epoch=%s AND state={JobState.QUEUED:d}"
        )
        self.claim = (
            f"UPDATE jobs_job SET state={JobState.RUNNING:d}, token={next_token}, holder=%s,"
            f" started_at={now}, due_at={later} WHERE id=%s AND epoch=%s AND state={JobState.QUEUED:d}{claimed}"
        )

    def _hold(self) -> None:
        """What a lease's holder does, and how a job is put back."""
        now, later = self.now, self.later
        mine = f"WHERE id=%s AND token=%s AND state={JobState.RUNNING:d}"
        self.extend = f"UPDATE jobs_job SET due_at={later} {mine}"
        self.release = (
            f"UPDATE jobs_job SET state={JobState.SUCCEEDED:d}, due_at={later}, finished_at={now}, holder=NULL {mine}"
        )
        opened = f"(%s=0 AND state={JobState.QUEUED:d} OR state={JobState.RUNNING:d} AND token=%s)"
        # An orderly end takes back the start that was counted: only deaths stay.
        self.snooze = (
            f"{self._briefly}UPDATE jobs_job SET state={JobState.SCHEDULED:d}, due_at={later},"
            " holder=CASE WHEN %s=0 THEN holder ELSE %s END,"
            " attempts=CASE WHEN attempts>%s THEN attempts-%s ELSE 0 END"
            f" WHERE {self._free(f'id=%s AND epoch=%s AND {opened}')}"
        )

    def _free(self, condition: str) -> str:
        """Return the condition on one row for a statement that must not wait for as long as the session does."""
        if not self.passes_over:
            return condition
        # One look at the primary key, as without it. The table that is changed may be read in a table of its own only,
        # and the hint has it stay one.
        found = f"SELECT id FROM jobs_job WHERE {condition} FOR UPDATE SKIP LOCKED"
        return f"id=(SELECT /*+ NO_MERGE(free) */ id FROM ({found}) AS free)"

    def _end(self) -> None:
        """The next life, the outcome, the history, and what others decide."""
        now, later = self.now, self.later
        self.rearm = (
            f"UPDATE jobs_job SET state=%s, due_at={later}, epoch=epoch+1, holder=NULL, finished_at=NULL, meta=%s,"
            " app=%s, task=%s, queue=%s, priority=%s, body=%s, headers=%s, options=%s, root_id=%s, parent_id=%s,"
            " group_id=%s WHERE id=%s AND epoch=%s AND state=%s AND (%s=0 OR token=%s)"
        )
        live = f"{JobState.SCHEDULED:d},{JobState.QUEUED:d},{JobState.RUNNING:d},{JobState.REPLACED:d}"
        finish = (
            f"UPDATE jobs_job SET state=%s, due_at={later}, finished_at={now}, holder=NULL, meta=%s, error=%s,"
            " fingerprint=%s WHERE id=%s AND state IN "
        )
        self.finish = f"{finish}({live})"
        self.settle = f"{finish}({live},{JobState.SUCCEEDED:d})"
        self.revive = (
            f"UPDATE jobs_job SET state={JobState.SCHEDULED:d}, due_at={later}, attempts=%s, deliveries=deliveries+1"
            f" WHERE id=%s AND epoch=%s AND state IN ({JobState.QUEUED:d},{JobState.RUNNING:d})"
        )
        waiting = f"WHERE id=%s AND state IN ({JobState.SCHEDULED:d},{JobState.QUEUED:d})"
        self.cancel = f"UPDATE jobs_job SET state={JobState.CANCELLED:d}, due_at={later}, finished_at={now} {waiting}"
        self.postpone = f"UPDATE jobs_job SET state={JobState.SCHEDULED:d}, due_at={later} {waiting}"
        self.event = (
            "INSERT INTO jobs_jobevent (job_id, at, kind, epoch, attempts, error, fingerprint, traceback, worker,"
            f" actor) VALUES (%s,{now},%s,%s,%s,%s,%s,%s,%s,%s)"
        )


def marks(values: Collection[object]) -> str:
    """Return as many placeholders as there are values."""
    return ",".join(["%s"] * len(values))


def server_of(connection: Any) -> str:
    """Return the kind of server that a connection talks to, as the statements tell them apart."""
    if connection.vendor == "mysql" and connection.mysql_is_mariadb:
        return "mariadb"
    return str(connection.vendor)


@cache
def statements_for(server: str) -> Statements:
    """Return the statements for one kind of server: "sqlite", "mysql" or "mariadb"."""
    return Statements(server=server)


def dialect() -> Statements:
    """Return the statements for the server that the default connection talks to."""
    return statements_for(server_of(connections[DEFAULT_DB_ALIAS]))
