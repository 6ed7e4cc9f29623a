"""MySQL and MariaDB: what begins and ends a transaction with jobs is one exchange with the server each.

Django's backend spends three exchanges on a transaction beside its statements: autocommit off, COMMIT, autocommit on.
A wait for the server costs about 100 us, as much as a row does. The driver knows from the server's last answer
whether autocommit is on, and does not ask for what is there already (MySQLdb.connections.Connection.autocommit).
Of several statements in one exchange the server runs none after one that fails (MySQL 8.4, C API, "Multiple Statement
Execution Support"). A transaction without passengers is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from django.db import Error, transaction
from django.db.backends.mysql import base

from myproject.databases.riding import Riding, Statement


class DatabaseWrapper(Riding, base.DatabaseWrapper):
    """Django's own, with passengers.

    The option `multi_statements` set to False, for a proxy that takes one statement at a time, sends them one by one.
    """

    _first: Statement | None = None  # what the next transaction begins with
    _first_count = 0  # the rows that it changed
    _began_with = False  # the open transaction began like that
    _of_atomic = False  # autocommit was switched off by an atomic block, which will switch it on again

    @property
    def _takes_several(self) -> bool:
        return bool(self.settings_dict["OPTIONS"].get("multi_statements", True))

    def set_autocommit(self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False) -> None:
        """Switch autocommit; only an atomic block asks for more than that."""
        self._of_atomic = force_begin_transaction_with_broken_autocommit
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)

    def _set_autocommit(self, autocommit: bool) -> None:
        first, self._first = self._first, None
        self._began_with = first is not None
        if first is None:
            return super()._set_autocommit(autocommit)  # type: ignore[misc]  # every backend has it
        sql, parameters = first
        try:
            with self.cursor() as cursor:
                cursor.execute(f"SET autocommit=0;{sql}", parameters)
                cursor.nextset()
                self._first_count = int(cursor.rowcount)
        except BaseException:
            self._leave_transaction()
            raise
        return None

    def _leave_transaction(self) -> None:
        """Undo what the first statement began: Django does not know of it yet, and believes that autocommit is on."""
        with suppress(Error):
            self._rollback()
            super()._set_autocommit(True)  # type: ignore[misc]
            return
        self.close()

    @contextmanager
    def atomic_with(self, sql: str, parameters: Sequence[Any]) -> Iterator[int]:
        """Begin an atomic block with a statement, in one exchange; yield the count of rows that it changed."""
        if self.in_atomic_block or not self.get_autocommit() or not self._takes_several:
            with super().atomic_with(sql, parameters) as count:
                yield count
            return
        with ExitStack() as stack:
            self._first = sql, parameters
            try:
                stack.enter_context(transaction.atomic(using=self.alias))
            finally:
                self._first = None  # a connection that could not be opened has not taken it
            yield self._first_count

    def _commit_after(self, statements: Sequence[Statement]) -> None:
        rides = bool(statements) or self._began_with
        if not rides or not self._of_atomic or not self._takes_several:
            return super()._commit_after(statements)
        text = ";".join([*(sql for sql, _ in statements), "COMMIT", "SET autocommit=1"])
        with self.cursor() as cursor:
            cursor.execute(text, [value for _, parameters in statements for value in parameters])
            while cursor.nextset():
                pass
        return None
