"""What the orders need of a payment provider: plain values in, plain values out, errors that say what is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from myproject.errors import AppError, TerminalError


class OrderOutcome(StrEnum):
    """What the provider's order status means for us. Only CHARGED is money."""

    OPEN = "open"
    CHARGED = "charged"
    FAILED = "failed"


class RefundOutcome(StrEnum):
    """What the provider says of one refund."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    MANUAL_REVIEW = "manual_review"


@dataclass(frozen=True, kw_only=True)
class NewSession:
    """A payment to be started. `customer_reference` is the same for every call about one customer."""

    provider_order_id: str
    amount_minor: int
    currency: str
    customer_reference: str
    description: str
    return_url: str


@dataclass(frozen=True, kw_only=True)
class Session:
    """A payment that the customer can make now, at `payment_link`."""

    provider_order_id: str
    payment_link: str


@dataclass(frozen=True, kw_only=True)
class RefundSnapshot:
    """One refund as the provider shows it."""

    request_id: str
    outcome: RefundOutcome
    amount_minor: int
    reference: str
    error: str


@dataclass(frozen=True, kw_only=True)
class OrderSnapshot:
    """One order as the provider shows it now. `status` is the provider's own word, for people and events."""

    provider_order_id: str
    outcome: OrderOutcome
    status: str
    amount_minor: int
    currency: str
    payment_link: str
    refunds: tuple[RefundSnapshot, ...]

    def find_refund(self, request_id: str) -> RefundSnapshot | None:
        """Return the refund that was asked for under `request_id`, if the provider has it."""
        return next((refund for refund in self.refunds if refund.request_id == request_id), None)


class SessionConflict(AppError):
    """The provider has this order already, paid or with another amount: read it back. Read by the operator."""

    code = "session_conflict"
    status = 409
    reader = "operator"


class DuplicateCall(AppError):
    """The provider calls the refund a duplicate: of its own id, or of an equal amount a moment ago. Look it up."""

    code = "duplicate_call"
    status = 409
    reader = "operator"


class RefundRefused(TerminalError):
    """The provider refused the refund for good: nothing was refunded. Read by the operator."""

    code = "refund_refused"


class PaymentGateway(Protocol):
    """A payment provider. Every method may raise RetryableError, UnknownOutcomeError and TerminalError."""

    def create_session(self, *, new: NewSession) -> Session:
        """Start a payment; asking again for one that is not paid gives the same order. Raises SessionConflict."""
        ...

    def read_order(self, *, provider_order_id: str, currency: str) -> OrderSnapshot | None:
        """Return the order as it is now, None when the provider does not know it. `currency` is the one expected."""
        ...

    def create_refund(
        self, *, provider_order_id: str, request_id: str, amount_minor: int, currency: str
    ) -> OrderSnapshot:
        """Ask for a refund and return the order with it. Raises DuplicateCall and RefundRefused."""
        ...
