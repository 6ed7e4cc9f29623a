"""Price lists and what stands in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import F

from catalog.errors import PriceListMismatch
from catalog.models import Price, PriceList
from myproject.money import exponent

#: Prices of one SELECT or INSERT: below every database's limit of parameters.
BATCH = 500


@transaction.atomic
def ensure_price_list(*, code: str, name: str, currency: str) -> PriceList:
    """Return the price list of that code, made when it is new; the first list of a shop becomes its default.

    Raises PriceListMismatch when the list exists in another currency, MoneyError for an unknown one.
    """
    exponent(currency)
    found = PriceList.objects.filter(code=code).first()
    if found is None:
        is_default = None if PriceList.objects.filter(is_default=True).exists() else True
        return PriceList.objects.create(code=code, name=name, currency=currency, is_default=is_default)
    if found.currency != currency:
        raise PriceListMismatch(f"Price list {code} is in {found.currency}, not in {currency}.", price_list=code)
    return found


@transaction.atomic
def set_prices(*, price_list_id: int, amounts: Mapping[int, Decimal], now: datetime) -> int:
    """Set the price of each variant (by id) in one list; return how many rows were made or changed.

    Prices that are right already stay untouched, so running it twice changes nothing.
    """
    changed = 0
    variant_ids = sorted(amounts)
    for start in range(0, len(variant_ids), BATCH):
        batch = variant_ids[start : start + BATCH]
        prices = Price.objects.filter(price_list_id=price_list_id, variant_id__in=batch)
        current = dict(prices.values_list("variant_id", "amount"))
        fresh = [variant_id for variant_id in batch if variant_id not in current]
        Price.objects.bulk_create(
            Price(price_list_id=price_list_id, variant_id=variant_id, amount=amounts[variant_id])
            for variant_id in fresh
        )
        stale = [
            variant_id for variant_id in batch if current.get(variant_id, amounts[variant_id]) != amounts[variant_id]
        ]
        for variant_id in stale:
            Price.objects.filter(price_list_id=price_list_id, variant_id=variant_id).update(
                amount=amounts[variant_id], version=F("version") + 1, updated_at=now
            )
        changed += len(fresh) + len(stale)
    return changed
