"""The embedded index on SQLite: FTS5, ranked by bm25."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, connection, transaction

from search.backends.embedded import EmbeddedIndex

#: A word of the name or a SKU counts as much as five of category, tags and description.
TITLE_WEIGHT, OTHER_WEIGHT = 5.0, 1.0


class SqliteIndex(EmbeddedIndex):
    """Words are stored as they are; triggers keep the FTS5 table beside the documents (see the migration)."""

    def encode(self, words: Sequence[str]) -> str:
        """Return the words with spaces between them."""
        return " ".join(words)

    def matching(self, words: Sequence[str]) -> tuple[str, list[Any]]:
        """Match all words as prefixes. Each stands in quotes: none can be read as an operator."""
        expression = " AND ".join(f'"{word}" *' for word in words)
        # bm25 is negative, lower is better. As an integer a score compares exactly on the next page.
        return (
            "SELECT rowid AS product_id, "
            f"CAST(ROUND(-1000000 * bm25(search_words, {TITLE_WEIGHT}, {OTHER_WEIGHT})) AS INTEGER) AS score "
            "FROM search_words WHERE search_words MATCH %s",
            [expression],
        )

    def is_damaged(self) -> bool:
        """Let FTS5 compare its structure with the documents."""
        try:
            with transaction.atomic(), connection.cursor() as sql:
                sql.execute("INSERT INTO search_words (search_words, rank) VALUES ('integrity-check', 1)")
        except DatabaseError:
            return True
        return False

    def refresh(self) -> None:
        """Let FTS5 read all documents again."""
        with connection.cursor() as sql:
            sql.execute("INSERT INTO search_words (search_words) VALUES ('rebuild')")
