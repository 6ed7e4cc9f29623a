"""The embedded index on MySQL and MariaDB: FULLTEXT in boolean mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection

from search.backends.embedded import EmbeddedIndex
from search.models import Document

#: Put before every word. InnoDB indexes no word of fewer than three letters and none of its stop words ("for", "with");
#: with the mark every word is long enough and none is a stop word, so "EM" and "3" are found as on SQLite.
MARK = "zz"

#: A word of the name or a SKU counts four times on top of the once that the index over both columns gives it.
TITLE_WEIGHT = 4


class MysqlIndex(EmbeddedIndex):
    """Two FULLTEXT indexes (see the migration): one over both columns finds, one over the names helps to rank."""

    def encode(self, words: Sequence[str]) -> str:
        """Return the words, each with its mark, with spaces between them."""
        return " ".join(f"{MARK}{word}" for word in words)

    def matching(self, words: Sequence[str]) -> tuple[str, list[Any]]:
        """Require all words as prefixes. Words hold letters and digits only: none can be read as an operator."""
        required = " ".join(f"+{MARK}{word}*" for word in words)
        wished = " ".join(f"{MARK}{word}*" for word in words)
        both = "MATCH (title_words, other_words) AGAINST (%s IN BOOLEAN MODE)"
        title = "MATCH (title_words) AGAINST (%s IN BOOLEAN MODE)"
        # As an integer a score compares exactly on the next page.
        return (
            f"SELECT product_id, CAST(ROUND(1000000 * ({both} + {TITLE_WEIGHT} * {title})) AS SIGNED) AS score "
            f"FROM search_document WHERE {both}",
            [required, wished, required],
        )

    def put(self, documents: Sequence[Document]) -> None:
        """Insert or replace rows: on MySQL one at a time.

        Of several rows that one INSERT ... ON DUPLICATE KEY UPDATE (or REPLACE) replaces, MySQL 9.7 indexes the words
        of the last one alone: the others are found no more. MariaDB indexes them all.
        """
        together = len(documents) if connection.mysql_is_mariadb else 1  # type: ignore[attr-defined]  # Django has it
        for first in range(0, len(documents), max(together, 1)):
            super().put(documents[first : first + together])

    def is_damaged(self) -> bool:
        """InnoDB keeps the index with the rows, in the same log: it cannot contradict them."""
        return False

    def refresh(self) -> None:
        """Refresh the optimiser's numbers; the index itself is always current."""
        with connection.cursor() as sql:
            sql.execute("ANALYZE TABLE search_document")
            sql.fetchall()
