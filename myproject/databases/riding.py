"""Statements that ride along with those that begin and end a transaction.

A transaction's jobs are to be written with it and not before its end: then they are one INSERT however many there are,
and where the server takes several statements at once that INSERT and the COMMIT are one exchange (docs/adr/0014).
Django has no hook in front of COMMIT. Its documented seam is the subclass of a backend ("Databases: subclassing the
built-in database backends"); what is overridden here is pinned by tests/contracts/test_django_internals.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, Error, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

#: The text of a statement, and its parameters.
Statement = tuple[str, Sequence[Any]]


class Riding(BaseDatabaseWrapper):
    """Adds passengers to a backend. This form sends them one by one; a server that can do better overrides it."""

    #: Asked once, right before the COMMIT of the transaction that is open, for the statements to run before it.
    before_commit: Callable[[], list[Statement]] | None = None

    def _commit(self) -> None:
        try:
            self._commit_after(self.before_commit() if self.before_commit is not None else [])
        except DatabaseError:
            raise  # `atomic` rolls back; whoever commits by hand may try again
        except BaseException:
            # Such as a time limit's signal. `atomic` is about to switch autocommit on, and that commits what is there:
            # the work without what should have come with it.
            self._abandon()
            raise
        self.before_commit = None

    def _commit_after(self, statements: Sequence[Statement]) -> None:
        for sql, parameters in statements:
            with self.cursor() as cursor:
                cursor.execute(sql, parameters)
        super()._commit()  # type: ignore[misc]  # every backend has it

    def _rollback(self) -> None:
        self.before_commit = None
        super()._rollback()  # type: ignore[misc]

    def _abandon(self) -> None:
        try:
            self.rollback()
        except Error:
            self.close()

    @contextmanager
    def atomic_with(self, sql: str, parameters: Sequence[Any]) -> Iterator[int]:
        """Begin an atomic block with a statement; yield the count of rows that it changed.

        Raises what the statement raises; nothing is open then.
        """
        with transaction.atomic(using=self.alias):
            with self.cursor() as cursor:
                cursor.execute(sql, parameters)
                count = int(cursor.rowcount)
            yield count
