"""The payment providers: one file each behind `protocol.PaymentGateway`, chosen by a payment's `provider`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.core.signals import setting_changed

from myproject.http import HttpService
from orders.gateways.juspay import JuspayGateway
from orders.gateways.protocol import (
    DuplicateCall,
    NewSession,
    OrderOutcome,
    OrderSnapshot,
    PaymentGateway,
    RefundOutcome,
    RefundRefused,
    RefundSnapshot,
    Session,
    SessionConflict,
)

__all__ = (
    "DuplicateCall",
    "NewSession",
    "OrderOutcome",
    "OrderSnapshot",
    "PaymentGateway",
    "RefundOutcome",
    "RefundRefused",
    "RefundSnapshot",
    "Session",
    "SessionConflict",
    "get_gateway",
)


def _make_juspay() -> PaymentGateway:
    service = HttpService(
        name="juspay",
        base_url=settings.JUSPAY_BASE_URL,
        timeout=settings.JUSPAY_TIMEOUT,
        username=settings.JUSPAY_API_KEY,
        headers={"x-merchantid": settings.JUSPAY_MERCHANT_ID},
    )
    return JuspayGateway(service=service, client_id=settings.JUSPAY_CLIENT_ID)


# Adding a provider adds one file and one line here.
_MAKERS: dict[str, Callable[[], PaymentGateway]] = {"juspay": _make_juspay}


@cache
def get_gateway(provider: str) -> PaymentGateway:
    """Return the client of `provider`, one per process. Raises KeyError for a provider that is not in the table."""
    return _MAKERS[provider]()


def _forget(*, setting: str, **_: object) -> None:
    if setting.startswith("JUSPAY_"):
        get_gateway.cache_clear()


setting_changed.connect(_forget)  # tests override settings; a running process never does
