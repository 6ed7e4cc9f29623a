"""What the provider says of our refunds, booked: settled, failed, pending or in manual review.

The only importer of `orders.actions.cancel` on the money side: planning is imported by it, settling imports it.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db.models import F

from orders.actions.cancel import complete_cancellation
from orders.actions.events import move
from orders.actions.ledger import post
from orders.gateways import OrderSnapshot, RefundOutcome, RefundSnapshot
from orders.models import Account, Payment, Refund
from orders.states import REFUND, RefundStatus

logger = structlog.get_logger(__name__)

TARGETS = {
    RefundOutcome.PENDING: RefundStatus.PENDING,
    RefundOutcome.SUCCESS: RefundStatus.SETTLED,
    RefundOutcome.FAILURE: RefundStatus.FAILED,
    RefundOutcome.MANUAL_REVIEW: RefundStatus.MANUAL_REVIEW,
}


def apply_refunds(*, payment: Payment, snapshot: OrderSnapshot, actor: str, now: datetime) -> None:
    """Move every refund of the payment that `snapshot` shows. The caller's transaction holds order and payment locked.

    What is final stays, so an old or repeated snapshot does no harm. Request ids that are not ours are left alone.
    """
    shown = {refund.request_id: refund for refund in snapshot.refunds}
    refunds = (
        Refund.objects.filter(payment=payment, request_id__in=shown)
        .exclude(status__in=(RefundStatus.SETTLED, RefundStatus.FAILED))
        .select_related("cancellation")
        .order_by("pk")
    )
    for refund in refunds:
        _apply(refund=refund, payment=payment, found=shown[refund.request_id], actor=actor, now=now)


def _apply(*, refund: Refund, payment: Payment, found: RefundSnapshot, actor: str, now: datetime) -> None:
    target = TARGETS[found.outcome]
    reason = found.error
    if found.amount_minor != refund.amount_minor:
        # Our id with another amount: nothing is booked before a person has looked at it.
        logger.error("the provider shows another amount for a refund", refund=refund.pk, request_id=refund.request_id)
        target, reason = RefundStatus.MANUAL_REVIEW, "amount differs at the provider"
    if refund.status == RefundStatus.PLANNED:
        # A call that we took for refused did arrive after all.
        move(refund, RefundStatus.SENDING, actor=actor, now=now)
    if not REFUND.allows(refund.status, target):
        return
    if target == RefundStatus.SETTLED:
        _settle(refund, payment, found, actor=actor, now=now)
    elif target == RefundStatus.FAILED:
        fail_refund(refund=refund, payment=payment, reason=reason or "failed at the provider", actor=actor, now=now)
    else:
        move(refund, target, actor=actor, now=now, provider_reference=found.reference, failure_reason=reason)


def _settle(refund: Refund, payment: Payment, found: RefundSnapshot, *, actor: str, now: datetime) -> None:
    move(
        refund,
        RefundStatus.SETTLED,
        actor=actor,
        now=now,
        provider_reference=found.reference,
        failure_reason="",
        settled_at=now,
    )
    post(
        operation_key=f"refund:{refund.pk}:settled",
        kind="refund",
        legs=(
            (Account.REFUNDS_PAYABLE, refund.amount_minor),
            (Account.PROVIDER_CLEARING, -refund.amount_minor),
        ),
        currency=refund.currency,
        order_id=refund.cancellation.order_id,
        now=now,
    )
    Payment.objects.filter(pk=payment.pk).update(
        refunded_minor=F("refunded_minor") + refund.amount_minor, updated_at=now
    )
    complete_cancellation(cancellation_id=refund.cancellation_id, actor=actor, now=now)


def fail_refund(*, refund: Refund, payment: Payment, reason: str, actor: str, now: datetime) -> None:
    """Move a refund to FAILED and free what it reserved. The caller's transaction holds order and payment locked."""
    move(refund, RefundStatus.FAILED, actor=actor, now=now, failure_reason=reason[:191])
    Payment.objects.filter(pk=payment.pk).update(
        refund_planned_minor=F("refund_planned_minor") - refund.amount_minor, updated_at=now
    )
