"""Model fields and base classes that every app uses."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class CodeField(models.CharField):  # type: ignore[type-arg]  # settings import this before the classes are generic
    """A code such as a SKU, a stock code or an external number: compared byte for byte on every database.

    The default collations of MySQL and MariaDB take "85123a" for "85123A" and "X " for "X". A collation that does
    neither goes by another name on each of them, so it is chosen when the column is made. SQLite compares bytes.
    """

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Return the column's parameters with the server's binary, unpadded collation."""
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            mariadb = getattr(connection, "mysql_is_mariadb", False)
            parameters["collation"] = "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"
        return parameters

    def formfield(self, **kwargs: Any) -> Any:
        """Return a form field that keeps blanks at the ends: "S0 " is another code than "S0"."""
        return super().formfield(**{"strip": False, **kwargs})


class TimestampedModel(models.Model):
    """When a row was made and last changed, in UTC."""

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class VersionedModel(TimestampedModel):
    """A row that other stores mirror: `version` grows with every saved change, so an old copy never wins.

    Bulk updates do not pass through `save`: they must raise `version` in the same statement
    (`version=F("version") + 1`).
    """

    version = models.PositiveBigIntegerField(default=1, editable=False)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save and raise the version in the database, whatever this instance believes it to be."""
        if self.pk is None or self._state.adding:
            super().save(*args, **kwargs)
            return
        fields = kwargs.get("update_fields")
        if fields is not None:
            kwargs["update_fields"] = {*fields, "version", "updated_at"}
        self.version = models.F("version") + 1
        super().save(*args, **kwargs)
        self.refresh_from_db(fields=["version"])
