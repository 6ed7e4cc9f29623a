"""Rows that are written once and never changed or deleted: refused in the model, and by the database itself.

A model inherits `AppendOnlyModel`, and a migration of its app lists `append_only_triggers` for its table. The triggers
refuse an UPDATE on every database. A DELETE is refused by the model everywhere and by a trigger on MySQL and MariaDB;
on SQLite it cannot be, because Django's flush, which empties the tables between transactional tests, deletes there row
by row and has no switch that a trigger could see.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class AppendOnlyError(RuntimeError):
    """A mistake of the program: it tried to change or delete history. Nothing was written."""


def _refuse(model: type[models.Model]) -> NoReturn:
    raise AppendOnlyError(f"{model._meta.label} is append-only: a row is neither changed nor deleted.")


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Rows that can be read and added."""

    def update(self, **kwargs: Any) -> int:
        """Refuse."""
        _refuse(self.model)

    def bulk_update(self, *args: Any, **kwargs: Any) -> int:
        """Refuse."""
        _refuse(self.model)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Refuse."""
        _refuse(self.model)

    def bulk_create(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Add rows; one that is there already is never brought up to date."""
        if kwargs.get("update_conflicts"):
            _refuse(self.model)
        return super().bulk_create(*args, **kwargs)


class AppendOnlyModel(models.Model):
    """A row that is written once."""

    objects = models.Manager.from_queryset(AppendOnlyQuerySet)()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the row; refuse to write it a second time."""
        if not self._state.adding or kwargs.get("force_update"):
            _refuse(type(self))
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse."""
        _refuse(type(self))


#: What a server says that lets us make tables and no triggers: 1142 without the TRIGGER privilege, 1419 and 1227 where
#: it writes a binary log and trusts only administrators.
NOT_ALLOWED = (1142, 1227, 1419)

REMEDY = (
    "The database user may not create triggers on {table}. Grant it TRIGGER on this database; where the server writes "
    "a binary log, an administrator sets log_bin_trust_function_creators = 1 (SET GLOBAL) before migrating. ({error})"
)


def _statements(table: str, vendor: str) -> tuple[str, ...]:
    message = f"{table} is append-only"
    if vendor == "sqlite":
        return (
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END",
        )
    if vendor == "mysql":
        refuse = f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{message}'"
        return (
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} FOR EACH ROW {refuse}",
            # Django's flush, which empties the tables between tests, switches foreign keys off for its session.
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} FOR EACH ROW "
            f"IF @@SESSION.foreign_key_checks = 1 THEN {refuse}; END IF",
        )
    return ()


def append_only_triggers(table: str) -> migrations.RunPython:
    """Return the operation that makes the triggers of one table.

    On SQLite a later change of the table makes it anew and without them: such a migration lists this operation again.
    """

    def create(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
        drop(apps, schema_editor)
        for statement in _statements(table, schema_editor.connection.vendor):
            try:
                schema_editor.execute(statement)
            except OperationalError as error:
                if error.args and error.args[0] in NOT_ALLOWED:
                    raise ImproperlyConfigured(REMEDY.format(table=table, error=error)) from error
                raise

    def drop(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
        for name in ("no_update", "no_delete"):
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_{name}")

    # Not in a transaction: MySQL and MariaDB commit before and after each statement that makes a trigger.
    return migrations.RunPython(create, drop, atomic=False)
