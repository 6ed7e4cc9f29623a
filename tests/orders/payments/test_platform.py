"""The whole money path through real processes, with a provider that misbehaves and a worker that is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.servers.fixtures import RedisServer
from tests.servers.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.serial, pytest.mark.timeout(900)]

ORDERS = 8
RULES = [
    {"endpoint": "webhook", "event": "ORDER_SUCCEEDED", "fault": "duplicate", "copies": 2, "every": 2},
    {"endpoint": "webhook", "event": "ORDER_SUCCEEDED", "fault": "missing", "every": 3},
    {"endpoint": "webhook", "event": "ORDER_REFUNDED", "fault": "missing", "every": 2},
    {"endpoint": "order_status", "fault": "error", "status": 503, "every": 4},
    {"endpoint": "refund", "fault": "timeout_after", "seconds": 0, "every": 2},
    {"endpoint": "refund", "fault": "error", "status": 502, "every": 3},
]
START = """
import json
from django.utils import timezone
from orders.actions.payments import start_payment
from tests.orders.factories import bring_order, line, make_variant
make_variant(on_hand=1000)
orders = [bring_order(line(), number=f"E{n}", customer=None) for n in range(%d)]
print(json.dumps([start_payment(order_id=o.pk, actor="test", now=timezone.now()).payment_link for o in orders]))
"""
CANCEL = """
from django.utils import timezone
from orders.actions.cancel_requests import request_cancellation
from orders.models import Order
for order in Order.objects.all():
    request_cancellation(order_id=order.pk, lines=None, reason="", actor="test", now=timezone.now())
"""
STATE = """
import json
from django.db.models import Sum
from orders.models import Cancellation, LedgerEntry, Order, Payment, Refund
def count(model):
    rows = model.objects.values_list("status", flat=True)
    return {status: list(rows).count(status) for status in set(rows)}
accounts = LedgerEntry.objects.values_list("account").annotate(Sum("amount_minor"))
print(json.dumps({
    "orders": count(Order), "payments": count(Payment), "cancellations": count(Cancellation), "refunds": count(Refund),
    "attempts": sorted(set(Refund.objects.values_list("attempt", flat=True))),
    "accounts": {account: minor for account, minor in accounts if minor},
}))
"""


def run(platform: Platform, code: str) -> Any:
    printed = platform.manage("shell", "--no-imports", "-c", code).stdout.strip()
    return json.loads(printed.splitlines()[-1]) if printed else None


def sweep_until(platform: Platform, kind: str, wanted: dict[str, int]) -> dict[str, Any]:
    """Sweep and wait, as beat does every minute, until all rows of a kind are where they belong."""
    deadline = time.monotonic() + 120
    while True:
        state: dict[str, Any] = run(platform, STATE)
        if state[kind] == wanted or time.monotonic() > deadline:
            return state
        platform.manage("sweep")
        time.sleep(1)


def test_every_refund_is_once_in_the_providers_record_whatever_is_lost_or_killed(
    platform: Callable[..., Platform], redis_server: RedisServer, any_database_url: str
):
    site = platform(
        database_url=any_database_url,
        redis_url=redis_server.fresh_url(),
        workers=("worker_orders", "worker_external"),
        env={
            "SANDBOX_FAULTS": json.dumps(RULES),
            "SANDBOX_REFUND_WINDOW_SECONDS": "0.2",
            "SWEEP_AFTER": "1",
            "JUSPAY_TIMEOUT": "2",
        },
    )
    for link in run(site, START % ORDERS):
        assert httpx.post(link, data={"action": "approve"}).status_code == 303
    paid = sweep_until(site, "orders", {"processed": ORDERS})
    assert paid["orders"] == {"processed": ORDERS}
    assert paid["accounts"]["provider_clearing"] == ORDERS * 1530

    site.manage("shell", "--no-imports", "-c", CANCEL)
    site.kill("worker_orders")
    site.start_worker("worker_orders")
    state = sweep_until(site, "cancellations", {"completed": ORDERS})

    assert state["cancellations"] == {"completed": ORDERS}
    assert state["payments"] == {"captured": ORDERS}
    assert state["refunds"] == {"settled": ORDERS}
    assert state["attempts"] == [1]
    assert "provider_clearing" not in state["accounts"]
    assert "refunds_payable" not in state["accounts"]
    record = httpx.get(
        f"{site.sandbox_url}/sandbox/record/totals",
        auth=(site.env["SANDBOX_API_KEY"], ""),
        headers={"x-merchantid": site.env["SANDBOX_MERCHANT_ID"]},
    ).json()
    assert [line["refunds_accepted"] for line in record["orders"]] == [1] * ORDERS
    assert [line["refunds_succeeded"] for line in record["orders"]] == [1] * ORDERS
    assert record["currencies"]["GBP"]["captured"] == record["currencies"]["GBP"]["refunded"] == "122.40"
