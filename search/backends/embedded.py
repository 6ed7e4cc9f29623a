"""The index inside the shop's own database: nothing else to run, right for up to some hundred thousand products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from catalog.models import Category, Tag
from search.backends.documents import Words, active_products, read_words
from search.backends.protocol import Cursor, Filters, Hit, Page, VerifyReport
from search.models import Document

#: Products of one transaction: about 0.04 s under SQLite's write lock.
BATCH = 500


class EmbeddedIndex(ABC):
    """What both kinds of database share: documents are rows, and only writing and matching words differ."""

    name = "embedded"

    @abstractmethod
    def encode(self, words: Sequence[str]) -> str:
        """Return words as the text column holds them."""

    @abstractmethod
    def matching(self, words: Sequence[str]) -> tuple[str, list[Any]]:
        """Return the SELECT (and its parameters) of `product_id` and an integer `score` of the documents that match."""

    @abstractmethod
    def is_damaged(self) -> bool:
        """Tell whether the full-text structure contradicts the documents."""

    @abstractmethod
    def refresh(self) -> None:
        """Build the full-text structure anew from the documents."""

    def put(self, documents: Sequence[Document]) -> None:
        """Insert or replace rows, in one statement."""
        with_target = connection.features.supports_update_conflicts_with_target
        Document.objects.bulk_create(
            documents,
            update_conflicts=True,
            update_fields=["version", "title_words", "other_words"],
            unique_fields=["product"] if with_target else None,
        )

    def index(self, product_ids: Sequence[int]) -> int:
        """Bring the documents of these products up to date; those no longer active or gone leave. Return writes."""
        written = 0
        ids = sorted(set(product_ids))
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            with transaction.atomic():
                written += self._write(batch, list(read_words(batch)))
        return written

    def remove(self, product_ids: Sequence[int]) -> int:
        """Take the documents of these products out; return how many were in."""
        removed = 0
        for start in range(0, len(product_ids), BATCH):
            count, _ = Document.objects.filter(pk__in=product_ids[start : start + BATCH]).delete()
            removed += count
        return removed

    def search(self, words: Sequence[str], *, filters: Filters, cursor: Cursor | None = None, limit: int = 50) -> Page:
        """Return products that have, for each word, a word beginning with it; best first."""
        conditions, values = _conditions(filters)
        if conditions is None:
            return Page(hits=(), next=None)
        matching, parameters = self.matching(words)
        if cursor is not None:
            conditions.append("(m.score < %s OR (m.score = %s AND m.product_id > %s))")
            values += [cursor.score, cursor.score, cursor.product_id]
        where = " AND ".join(["p.status = 'active'", *conditions])
        with connection.cursor() as sql:
            sql.execute(
                f"SELECT m.product_id, m.score FROM ({matching}) m "
                f"JOIN catalog_product p ON p.id = m.product_id WHERE {where} "
                "ORDER BY m.score DESC, m.product_id LIMIT %s",
                [*parameters, *values, limit + 1],
            )
            rows = sql.fetchall()
        hits = tuple(Hit(product_id=product_id, score=int(score)) for product_id, score in rows[:limit])
        last = Cursor(score=hits[-1].score, product_id=hits[-1].product_id) if len(rows) > limit else None
        return Page(hits=hits, next=last)

    def verify(self, *, repair: bool) -> VerifyReport:
        """Compare counts and versions with the catalogue and, if asked to, put right what differs."""
        indexed = Document.objects.values("pk")
        missing = list(active_products().exclude(pk__in=indexed).values_list("pk", flat=True))
        active = Q(product__status="active")
        outdated = list(
            Document.objects.filter(active).exclude(version=F("product__version")).values_list("pk", flat=True)
        )
        excess = list(Document.objects.exclude(active).values_list("pk", flat=True))
        damaged = self.is_damaged()
        if repair:
            if damaged:
                self.refresh()
            self.index([*missing, *outdated, *excess])
        return VerifyReport(
            products=active_products().count(),
            documents=Document.objects.count(),
            missing=len(missing),
            outdated=len(outdated),
            excess=len(excess),
            damaged=damaged,
            repaired=repair and bool(damaged or missing or outdated or excess),
        )

    def rebuild(self) -> int:
        """Write every document anew while searches go on; return how many there are."""
        for batch in self._all_batches():
            self.index(batch)
        self.remove(list(Document.objects.exclude(product__status="active").values_list("pk", flat=True)))
        self.refresh()
        return Document.objects.count()

    def _all_batches(self) -> Iterator[list[int]]:
        """Yield the ids of all active products in order, by the last one seen, so that no cursor stays open."""
        last = 0
        while batch := list(active_products().filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH]):
            yield batch
            last = batch[-1]

    def _write(self, product_ids: Sequence[int], found: Sequence[Words]) -> int:
        """Insert or replace documents, leave out those of the same version, take out what is no longer active."""
        known = dict(Document.objects.filter(pk__in=product_ids).values_list("pk", "version"))
        present = {words.product_id for words in found}
        documents = [
            Document(
                product_id=words.product_id,
                version=words.version,
                title_words=self.encode(words.title),
                other_words=self.encode(words.other),
            )
            for words in found
        ]
        self.put(documents)
        return len(documents) + self.remove([pk for pk in known if pk not in present])


def _conditions(filters: Filters) -> tuple[list[str] | None, list[Any]]:
    """Return SQL conditions over `p` and their values; None when a category or tag is unknown, so nothing matches."""
    conditions: list[str] = []
    values: list[Any] = []
    if filters.category:
        path = Category.objects.filter(slug=filters.category).values_list("path", flat=True).first()
        if path is None:
            return None, []
        conditions.append("p.category_id IN (SELECT id FROM catalog_category WHERE path LIKE %s)")
        values.append(f"{path}%")
    for group, name in filters.tags:
        tag_id = Tag.objects.filter(group=group, name=name).values_list("pk", flat=True).first()
        if tag_id is None:
            return None, []
        conditions.append("EXISTS (SELECT 1 FROM catalog_product_tags t WHERE t.product_id = p.id AND t.tag_id = %s)")
        values.append(tag_id)
    return conditions, values
