"""Importing a product file: category tree, tags, products, variants, stock rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.db.models import F

from catalog.actions import demo
from catalog.actions.announcements import announce_import_end, announce_products
from catalog.actions.classification import Classification
from catalog.actions.prices import ensure_price_list
from catalog.actions.slugs import product_slug
from catalog.feeds.fashion import FeedRow, RejectedRow, read_rows
from catalog.models import PriceList, Product, Stock, Variant

SOURCE = "fashion"

#: Rows of one transaction. 1,000 hold the write lock of SQLite for about 0.35 s; one transaction for the whole file
#: would keep every other writer waiting for 16 s.
BATCH = 1_000

Progress = Callable[[int], None]


@dataclass(kw_only=True)
class ImportReport:
    """What an import did. `rejected` rows are named with line and reason."""

    rows: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    categories: int = 0
    tags: int = 0
    prices: int = 0
    receipts: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)


def import_products(
    *,
    path: Path,
    now: datetime,
    demo_prices: bool = False,
    price_list: str = demo.CODE,
    progress: Progress | None = None,
) -> ImportReport:
    """Import a file of the fashion form (`catalog.feeds.fashion`) and return what changed.

    Idempotent by content: each product keeps the hash of its row, an equal one is not touched, a different one raises
    the version. Batches are committed one by one, so a run that was killed is finished by the next. Bad rows are
    reported and stop nothing. With `demo_prices` the products get made-up prices and stock (`catalog.actions.demo`).
    Raises UnreadableFile and PriceListMismatch.
    """
    report = ImportReport()
    classification = Classification()
    for batch in _batches(read_rows(path)):
        report.rows += len(batch)
        report.rejected += [row for row in batch if isinstance(row, RejectedRow)]
        rows = [row for row in batch if isinstance(row, FeedRow)]
        with transaction.atomic():
            rows, variant_ids = _import_batch(rows, classification=classification, report=report, now=now)
            if demo_prices and rows:
                prices_of = _demo_list(price_list)
                prices, receipts = demo.equip_for_demo(
                    rows=rows, variant_ids=variant_ids, price_list_id=prices_of.pk, now=now
                )
                report.prices += prices
                report.receipts += receipts
        if progress is not None:
            progress(report.rows)
    if report.created or report.changed:
        announce_import_end()
    report.categories, report.tags = classification.categories_made, classification.tags_made
    report.rejected.sort(key=lambda row: row.line)
    return report


def _batches(rows: Iterable[FeedRow | RejectedRow]) -> Iterator[list[FeedRow | RejectedRow]]:
    batch: list[FeedRow | RejectedRow] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _demo_list(code: str) -> PriceList:
    return ensure_price_list(code=code, name=demo.NAME, currency=demo.CURRENCY)


def _import_batch(
    rows: Sequence[FeedRow], *, classification: Classification, report: ImportReport, now: datetime
) -> tuple[list[FeedRow], dict[str, int]]:
    """Write one batch; return the rows that stand in the catalogue now and their variants' ids by SKU."""
    known = {
        external_id: (pk, content_hash)
        for external_id, pk, content_hash in Product.objects.filter(
            source=SOURCE, external_id__in=[row.external_id for row in rows]
        ).values_list("external_id", "pk", "content_hash")
    }
    rows = _without_foreign_skus(rows, report=report)
    fresh = [row for row in rows if row.external_id not in known]
    stale = [row for row in rows if row.external_id in known and known[row.external_id][1] != row.content_hash]
    category_ids, tag_ids = classification.ensure([*fresh, *stale])
    product_ids = {row.external_id: known[row.external_id][0] for row in rows if row.external_id in known}
    product_ids |= _create(fresh, category_ids=category_ids)
    for row in stale:
        _change(row, pk=product_ids[row.external_id], category_id=category_ids[row.category], now=now)
    classification.tag_products(
        {product_ids[row.external_id]: [tag_ids[tag] for tag in row.tags] for row in fresh},
        {product_ids[row.external_id]: [tag_ids[tag] for tag in row.tags] for row in stale},
    )
    announce_products(product_ids=sorted(product_ids[row.external_id] for row in (*fresh, *stale)))
    report.created += len(fresh)
    report.changed += len(stale)
    report.unchanged += len(rows) - len(fresh) - len(stale)
    skus = [row.sku for row in rows]
    return list(rows), dict(Variant.objects.filter(sku__in=skus).values_list("sku", "pk"))


def _without_foreign_skus(rows: Sequence[FeedRow], *, report: ImportReport) -> list[FeedRow]:
    """Reject rows whose SKU belongs to a product of another source or number."""
    owners = {
        sku: (source, external_id)
        for sku, source, external_id in Variant.objects.filter(sku__in=[row.sku for row in rows]).values_list(
            "sku", "product__source", "product__external_id"
        )
    }
    ours = [row for row in rows if owners.get(row.sku, (SOURCE, row.external_id)) == (SOURCE, row.external_id)]
    report.rejected += [
        RejectedRow(line=row.line, reason=f"SKU {row.sku} belongs to product {'/'.join(owners[row.sku])}")
        for row in rows
        if row not in ours
    ]
    return ours


def _create(rows: Sequence[FeedRow], *, category_ids: dict[tuple[str, ...], int]) -> dict[str, int]:
    """Insert products with their variant and stock row; return product ids by external id.

    Ids are read back, because MySQL returns none from a bulk insert.
    """
    if not rows:
        return {}
    Product.objects.bulk_create(
        Product(
            source=SOURCE,
            external_id=row.external_id,
            name=row.name,
            slug=product_slug(source=SOURCE, external_id=row.external_id, name=row.name),
            category_id=category_ids[row.category],
            content_hash=row.content_hash,
        )
        for row in rows
    )
    numbers = [row.external_id for row in rows]
    product_ids = dict(
        Product.objects.filter(source=SOURCE, external_id__in=numbers).values_list("external_id", "pk"),
    )
    Variant.objects.bulk_create(Variant(sku=row.sku, product_id=product_ids[row.external_id]) for row in rows)
    variant_ids = Variant.objects.filter(sku__in=[row.sku for row in rows]).values_list("pk", flat=True)
    Stock.objects.bulk_create(Stock(variant_id=pk) for pk in variant_ids)
    return product_ids


def _change(row: FeedRow, *, pk: int, category_id: int, now: datetime) -> None:
    """Bring a product in line with its row. Its address and status stay: both are the shop's, not the feed's."""
    Product.objects.filter(pk=pk).update(
        name=row.name,
        category_id=category_id,
        content_hash=row.content_hash,
        version=F("version") + 1,
        updated_at=now,
    )
