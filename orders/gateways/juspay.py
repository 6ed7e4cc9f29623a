"""Juspay: sessions, order status and refunds over its documented HTTP interface.

Amounts travel as decimal strings; in answers they are JSON numbers, which are read exactly. An answer that does not
hold what its documentation promises counts as unreadable: of a look-up that is retryable, of a refund unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from myproject.errors import AppError, RetryableError, TerminalError, UnknownOutcomeError
from myproject.http import Answer, HttpService
from myproject.money import format_minor, parse_minor
from orders.gateways.protocol import (
    DuplicateCall,
    NewSession,
    OrderOutcome,
    OrderSnapshot,
    RefundOutcome,
    RefundRefused,
    RefundSnapshot,
    Session,
    SessionConflict,
)

#: Statuses after which the customer has not paid. VOIDED and AUTO_REFUNDED: the money went back by itself. A customer
#: may still try again on the same page, so none of them keeps a later CHARGED from counting.
FAILED_STATUSES = frozenset(
    {
        "AUTHENTICATION_FAILED",
        "AUTHORIZATION_FAILED",
        "AUTO_REFUNDED",
        "CAPTURE_FAILED",
        "JUSPAY_DECLINED",
        "VOIDED",
    }
)
REFUND_OUTCOMES = {
    "PENDING": RefundOutcome.PENDING,
    "SUCCESS": RefundOutcome.SUCCESS,
    "FAILURE": RefundOutcome.FAILURE,
    "MANUAL_REVIEW": RefundOutcome.MANUAL_REVIEW,
}
#: Code of both refusals that are told apart by look-up: the id was used, or an equal amount came within five seconds.
DUPLICATE_CODE = "duplicate.call"


class JuspayGateway:
    """The client of one Juspay account (`orders.gateways.protocol.PaymentGateway`)."""

    def __init__(self, *, service: HttpService, client_id: str) -> None:
        """Use `service`, which carries address and credentials; `client_id` names the payment page."""
        self._service = service
        self._client_id = client_id

    def create_session(self, *, new: NewSession) -> Session:
        """Start a payment by POST /session; for an unpaid order of the same id and amount it answers the same."""
        answer = self._service.call(
            "POST",
            "/session",
            idempotent=False,
            json_body={
                "order_id": new.provider_order_id,
                "amount": format_minor(new.amount_minor, new.currency),
                "currency": new.currency,
                "customer_id": new.customer_reference,
                "payment_page_client_id": self._client_id,
                "action": "paymentPage",
                "description": new.description,
                "return_url": new.return_url,
            },
            headers={"x-routing-id": new.customer_reference},
        )
        if not answer.ok:
            message = f"session of {new.provider_order_id} refused: {_describe(answer)}"
            # A bad parameter is our mistake and comes back the same; a taken id is read back by the caller.
            raise SessionConflict(message, provider_order_id=new.provider_order_id)
        links = answer.body.get("payment_links")
        link = links.get("web") if isinstance(links, dict) else None
        if answer.body.get("order_id") != new.provider_order_id or not isinstance(link, str) or not link:
            raise UnknownOutcomeError(f"session of {new.provider_order_id}: the answer names no payment page.")
        return Session(provider_order_id=new.provider_order_id, payment_link=link)

    def read_order(self, *, provider_order_id: str, currency: str) -> OrderSnapshot | None:
        """Return the order by GET /orders/{order_id}; None when its status is NOT_FOUND."""
        answer = self._service.call("GET", f"/orders/{provider_order_id}", idempotent=True)
        if answer.body.get("status") == "NOT_FOUND":
            return None
        if not answer.ok:
            raise TerminalError(f"order {provider_order_id} cannot be read: {_describe(answer)}")
        return _read_snapshot(answer, provider_order_id, currency, unreadable=RetryableError)

    def create_refund(
        self, *, provider_order_id: str, request_id: str, amount_minor: int, currency: str
    ) -> OrderSnapshot:
        """Ask for a refund by POST /orders/{order_id}/refunds under `request_id`, which the provider takes once."""
        answer = self._service.call(
            "POST",
            f"/orders/{provider_order_id}/refunds",
            idempotent=False,
            form={"unique_request_id": request_id, "amount": format_minor(amount_minor, currency)},
        )
        if not answer.ok:
            _refuse_refund(answer, provider_order_id, request_id)
        snapshot = _read_snapshot(answer, provider_order_id, currency, unreadable=UnknownOutcomeError)
        if snapshot.find_refund(request_id) is None:
            raise UnknownOutcomeError(f"refund {request_id}: the answer does not show it.")
        return snapshot


def _refuse_refund(answer: Answer, provider_order_id: str, request_id: str) -> NoReturn:
    message = f"refund {request_id} of {provider_order_id} refused: {_describe(answer)}"
    if answer.body.get("error_code") == DUPLICATE_CODE:
        raise DuplicateCall(message, request_id=request_id)
    raise RefundRefused(message, request_id=request_id)


def _describe(answer: Answer) -> str:
    """Return the provider's code for a refusal. Its texts may repeat what the customer typed, so they stay out."""
    info = answer.body.get("error_info")
    inner = info.get("code") if isinstance(info, dict) else ""
    codes = (answer.body.get("status"), answer.body.get("error_code"), inner)
    return " ".join([str(answer.status), *(code[:40] for code in codes if isinstance(code, str) and code)])


def _read_snapshot(
    answer: Answer, provider_order_id: str, currency: str, *, unreadable: Callable[[str], AppError]
) -> OrderSnapshot:
    body = answer.body
    try:
        if body["order_id"] != provider_order_id:
            raise ValueError("another order")
        status = _text(body["status"])
        outcome = OrderOutcome.OPEN
        if status == "CHARGED":
            outcome = OrderOutcome.CHARGED
        elif status in FAILED_STATUSES:
            outcome = OrderOutcome.FAILED
        links = body.get("payment_links")
        link = links.get("web") if isinstance(links, dict) else ""
        return OrderSnapshot(
            provider_order_id=provider_order_id,
            outcome=outcome,
            status=status,
            amount_minor=parse_minor(body["amount"], currency, field="amount"),
            currency=_text(body["currency"]),
            payment_link=link if isinstance(link, str) else "",
            refunds=tuple(_read_refund(entry, currency) for entry in body.get("refunds") or ()),
        )
    except (KeyError, TypeError, ValueError) as error:  # MoneyError is a ValueError
        raise unreadable(
            f"order {provider_order_id}: the answer is not an order object ({type(error).__name__})."
        ) from error


def _read_refund(entry: dict[str, Any], currency: str) -> RefundSnapshot:
    return RefundSnapshot(
        request_id=_text(entry["unique_request_id"]),
        # A word that we do not know is neither success nor failure: people look at it.
        outcome=REFUND_OUTCOMES.get(_text(entry["status"]), RefundOutcome.MANUAL_REVIEW),
        amount_minor=parse_minor(entry["amount"], currency, field="refund amount"),
        reference=_text(entry.get("ref") or "")[:64],
        error=_text(entry.get("error_code") or "")[:100],
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value
