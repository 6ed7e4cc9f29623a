"""The tables of moves: what is final stays final."""

from typing import Any, cast

import pytest

from myproject.sandbox.states import (
    DECLINES,
    ORDER_MOVES,
    REFUND_MOVES,
    STATUS_IDS,
    ForbiddenMove,
    move_order,
    move_refund,
)


class Row:
    def __init__(self, status: str) -> None:
        self.status, self.saved = status, False
        self.order_id = self.unique_request_id = "X1"

    def save(self, **_: object) -> None:
        self.saved = True


@pytest.mark.parametrize("status", ORDER_MOVES)
def test_charged_order_never_moves(status: str) -> None:
    order = Row("CHARGED")

    with pytest.raises(ForbiddenMove):
        move_order(cast(Any, order), status, latest_payment=cast(Any, None))
    assert (order.status, order.saved) == ("CHARGED", False)


@pytest.mark.parametrize("first", ["SUCCESS", "FAILURE", "MANUAL_REVIEW"])
@pytest.mark.parametrize("status", REFUND_MOVES)
def test_settled_refund_never_moves(first: str, status: str) -> None:
    refund = Row(first)

    with pytest.raises(ForbiddenMove):
        move_refund(cast(Any, refund), status, gateway_reference="", now=cast(Any, None))
    assert (refund.status, refund.saved) == (first, False)


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "MANUAL_REVIEW"])
def test_pending_refund_moves_to_each_outcome(status: str) -> None:
    refund = Row("PENDING")

    move_refund(cast(Any, refund), status, gateway_reference="", now=cast(Any, None))

    assert (refund.status, refund.saved) == (status, True)


def test_status_numbers_are_the_documented_ones() -> None:
    assert STATUS_IDS == {
        "NEW": 10, "STARTED": 20, "CHARGED": 21, "JUSPAY_DECLINED": 22, "PENDING_VBV": 23, "VBV_SUCCESSFUL": 24,
        "AUTHENTICATION_FAILED": 26, "AUTHORIZATION_FAILED": 27, "AUTHORIZING": 28, "COD_INITIATED": 29, "VOIDED": 31,
        "VOID_INITIATED": 32, "CAPTURE_INITIATED": 33, "CAPTURE_FAILED": 34, "VOID_FAILED": 35, "AUTO_REFUNDED": 36,
        "NOT_FOUND": 40,
    }  # fmt: skip
    assert set(ORDER_MOVES) <= set(STATUS_IDS)
    assert set(DECLINES) <= set(ORDER_MOVES)
