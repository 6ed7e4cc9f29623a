"""SQLite: there is no exchange to save, but the rows of a transaction's jobs are one statement here, too."""

from __future__ import annotations

from django.db.backends.sqlite3 import base

from myproject.databases.riding import Riding


class DatabaseWrapper(Riding, base.DatabaseWrapper):
    """Django's own, with passengers."""
