"""Search's errors: each has a stable code and a sentence for its reader."""

from __future__ import annotations

from myproject.errors import InvalidInput, TerminalError


class InvalidQuery(InvalidInput):
    """The search text is empty or too long; the shopper reads it."""

    code = "invalid_query"


class InvalidCursor(InvalidInput):
    """The cursor is not one that a page of results gave out."""

    code = "invalid_cursor"


class UnsupportedDatabase(TerminalError):
    """The embedded index knows SQLite, MySQL and MariaDB."""

    code = "unsupported_database"
