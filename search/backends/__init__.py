"""Indexes behind one Protocol. Another store adds one file here and one line to `BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection

from search.backends.embedded import EmbeddedIndex
from search.backends.mysql import MysqlIndex
from search.backends.protocol import Cursor, Filters, Hit, Page, SearchIndex, VerifyReport
from search.backends.sqlite import SqliteIndex
from search.errors import UnsupportedDatabase

_EMBEDDED: dict[str, type[EmbeddedIndex]] = {"sqlite": SqliteIndex, "mysql": MysqlIndex}


def make_embedded_index() -> SearchIndex:
    """Return the embedded index for the database in use. Raises UnsupportedDatabase."""
    if connection.vendor not in _EMBEDDED:
        raise UnsupportedDatabase(f"The embedded index does not know {connection.vendor}.")
    return _EMBEDDED[connection.vendor]()


#: How each index is made, by name. The first one answers searches.
BACKENDS: dict[str, Callable[[], SearchIndex]] = {"embedded": make_embedded_index}


def search_index() -> SearchIndex:
    """Return the index that answers searches."""
    return next(iter(BACKENDS.values()))()


__all__ = ["BACKENDS", "Cursor", "Filters", "Hit", "Page", "SearchIndex", "VerifyReport", "search_index"]
