"""The record as an oracle: what was applied, added up by the database."""

from __future__ import annotations

from typing import Any

from django.db import connection

from ..models import Entry
from ..money import format_amount

MOST_ENTRIES = 1000  # rows of one page of the record: about 200 kB of JSON

# Everything that the totals say, in one statement and therefore of one moment.
TOTALS = """
    SELECT currency, kind, CASE WHEN kind = 'refund_settled' THEN outcome ELSE '' END AS settled_as,
           COUNT(*), SUM(amount), MAX(id)
    FROM sandbox_entry GROUP BY 1, 2, 3
"""
LINES = """
    SELECT order_id, MAX(currency),
           SUM(CASE WHEN kind = 'charged' THEN amount ELSE 0 END),
           SUM(CASE WHEN kind = 'refund_settled' AND outcome = 'SUCCESS' THEN amount ELSE 0 END),
           SUM(CASE WHEN kind = 'refund_accepted' THEN 1 ELSE 0 END),
           SUM(CASE WHEN kind = 'refund_settled' AND outcome = 'SUCCESS' THEN 1 ELSE 0 END)
    FROM sandbox_entry WHERE kind <> 'webhook_sent' GROUP BY order_id ORDER BY MIN(id)
"""


def count_totals() -> dict[str, Any]:
    """Return captured, refunded and still pending money per currency, and how many effects of each kind there are."""
    currencies: dict[str, dict[str, int]] = {}
    counts = dict.fromkeys(Entry.Kind.values, 0)
    refunds = {"SUCCESS": 0, "FAILURE": 0, "MANUAL_REVIEW": 0}
    last_id = 0
    with connection.cursor() as cursor:
        cursor.execute(TOTALS)
        for currency, kind, settled_as, count, amount, newest in cursor.fetchall():
            counts[kind] += count
            last_id = max(last_id, newest)
            if settled_as:
                refunds[settled_as] += count
            if not currency:
                continue
            money = currencies.setdefault(currency, {"captured": 0, "refunded": 0, "refunds_pending": 0})
            if kind == "charged":
                money["captured"] += amount
            elif kind == "refund_accepted":
                money["refunds_pending"] += amount
            elif kind == "refund_settled":
                money["refunds_pending"] -= amount
                money["refunded"] += amount if settled_as == "SUCCESS" else 0
    return {
        "currencies": {
            currency: {name: format_amount(minor) for name, minor in money.items()}
            for currency, money in sorted(currencies.items())
        },
        "counts": counts,
        "refunds_settled": refunds,
        "last_id": last_id,
    }


def list_order_lines() -> list[dict[str, Any]]:
    """Return what was captured and refunded for each order, in the order in which they were created."""
    with connection.cursor() as cursor:
        cursor.execute(LINES)
        return [
            {
                "order_id": order_id,
                "currency": currency,
                "captured": format_amount(captured),
                "refunded": format_amount(refunded),
                "refunds_accepted": accepted,
                "refunds_succeeded": succeeded,
            }
            for order_id, currency, captured, refunded, accepted, succeeded in cursor.fetchall()
        ]


def list_entries(*, after: int, limit: int) -> list[dict[str, Any]]:
    """Return the rows of the record after row `after`, oldest first."""
    return [
        {
            "id": entry.pk,
            "kind": entry.kind,
            "order_id": entry.order_id,
            "reference": entry.reference,
            "currency": entry.currency or None,
            "amount": format_amount(entry.amount) if entry.currency else None,
            "outcome": entry.outcome,
            "recorded_at": entry.recorded_at.isoformat(),
        }
        for entry in Entry.objects.filter(pk__gt=after).order_by("pk")[:limit]
    ]
