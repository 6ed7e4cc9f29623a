"""Making sure that the SKUs of a feed exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from catalog.actions.announcements import announce_products
from catalog.actions.slugs import product_slug
from catalog.errors import InvalidSpecification
from catalog.models import Product, Stock, Variant

#: SKUs of one SELECT or INSERT: below every database's limit of parameters.
BATCH = 500

CODE_LENGTH = 64
NAME_LENGTH = 255


@dataclass(frozen=True, kw_only=True)
class VariantSpec:
    """A SKU as a feed knows it. Without a name the SKU serves as one; `external_id` defaults to the SKU."""

    sku: str
    name: str = ""
    description: str = ""
    external_id: str = ""

    @property
    def product_key(self) -> str:
        """The product's number at the source."""
        return self.external_id or self.sku


@transaction.atomic
def ensure_variants(*, specs: Sequence[VariantSpec], source: str, now: datetime) -> dict[str, int]:
    """Create product, variant and stock row (of zero units) for every SKU that is new; return all ids by SKU.

    Safe to run twice and beside itself: rows that exist stay as they are, whoever made them. The first spec of a SKU
    counts, and the first of a product names it. `now` is the feed's moment; the rows' own
    timestamps are set by their base class. Raises InvalidSpecification before anything is written.
    """
    wanted: dict[str, VariantSpec] = {}
    named_by: dict[str, VariantSpec] = {}
    for spec in specs:
        _check(spec)
        wanted.setdefault(spec.sku, spec)
        named_by.setdefault(spec.product_key, spec)
    known = _ids_of(wanted)
    # In one order whoever asks, so that two feeds with the same new SKUs queue instead of deadlocking.
    missing = [wanted[sku] for sku in sorted(wanted) if sku not in known]
    product_ids: set[int] = set()
    for start in range(0, len(missing), BATCH):
        product_ids |= _create(missing[start : start + BATCH], named_by=named_by, source=source)
    if missing:
        known |= _ids_of(spec.sku for spec in missing)
        announce_products(product_ids=sorted(product_ids))
    return {sku: known[sku] for sku in wanted}


def _check(spec: VariantSpec) -> None:
    for field, value, limit in (
        ("sku", spec.sku, CODE_LENGTH),
        ("external_id", spec.product_key, CODE_LENGTH),
        ("name", spec.name, NAME_LENGTH),
    ):
        if len(value) > limit:
            raise InvalidSpecification(f"{field}: read {value!r}; allowed are {limit} characters.", field=field)
    if not spec.sku:
        raise InvalidSpecification("sku: read nothing; allowed is a stock code.", field="sku")


def _ids_of(skus: Iterable[str]) -> dict[str, int]:
    codes = list(skus)
    found: dict[str, int] = {}
    for start in range(0, len(codes), BATCH):
        found.update(Variant.objects.filter(sku__in=codes[start : start + BATCH]).values_list("sku", "pk"))
    return found


def _create(specs: Sequence[VariantSpec], *, named_by: Mapping[str, VariantSpec], source: str) -> set[int]:
    """Insert what is not there and return the products' ids.

    Ids are read back, because MySQL returns none from a bulk insert.
    """
    keys = list(dict.fromkeys(spec.product_key for spec in specs))
    Product.objects.bulk_create(
        (
            Product(
                source=source,
                external_id=key,
                name=named_by[key].name or named_by[key].sku,
                slug=product_slug(source=source, external_id=key, name=named_by[key].name),
                description=named_by[key].description,
            )
            for key in keys
        ),
        ignore_conflicts=True,
    )
    product_ids = dict(
        Product.objects.filter(source=source, external_id__in=keys).values_list("external_id", "pk"),
    )
    Variant.objects.bulk_create(
        (Variant(sku=spec.sku, product_id=product_ids[spec.product_key]) for spec in specs),
        ignore_conflicts=True,
    )
    variant_ids = _ids_of(spec.sku for spec in specs)
    Stock.objects.bulk_create((Stock(variant_id=variant_ids[spec.sku]) for spec in specs), ignore_conflicts=True)
    return set(product_ids.values())
