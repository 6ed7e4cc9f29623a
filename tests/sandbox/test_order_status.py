"""GET /orders/{order_id}: the truth about an order (providers, 1.2)."""

import pytest

from tests.sandbox.merchant import MERCHANT, Sandbox, next_id

pytestmark = pytest.mark.server

DOCUMENTED = {
    "id", "order_id", "status", "status_id", "amount", "effective_amount", "currency", "amount_refunded", "refunded",
    "maximum_eligible_refund_amount", "customer_id", "customer_email", "customer_phone", "merchant_id", "txn_id",
    "txn_uuid", "payment_method_type", "payment_method", "gateway_id", "gateway_reference_id",
    "payment_gateway_response", "txn_detail", "refunds", "bank_error_code", "bank_error_message", "offers",
}  # fmt: skip


def test_charged_order_has_every_documented_field(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order("19.99")

    order = sandbox.status(order_id)

    assert set(order) >= DOCUMENTED
    assert (order["order_id"], order["merchant_id"], order["currency"]) == (order_id, MERCHANT, "GBP")
    assert (order["status"], order["status_id"]) == ("CHARGED", 21)
    assert (order["amount"], order["effective_amount"], order["maximum_eligible_refund_amount"]) == (19.99,) * 3
    assert (order["amount_refunded"], order["refunded"], order["refunds"], order["offers"]) == (0, False, [], [])
    assert set(order["payment_gateway_response"]) == {
        "resp_code", "resp_message", "epg_txn_id", "rrn", "auth_id_code", "txn_id", "created",
    }  # fmt: skip
    assert order["txn_detail"]["txn_id"] == order["txn_id"] == order["payment_gateway_response"]["txn_id"]


def test_amounts_are_decimal_not_minor_units(sandbox: Sandbox) -> None:
    order_id = next_id()
    sandbox.session(order_id, "1308957.28")

    assert '"amount":1308957.28,' in sandbox.http.get(f"/orders/{order_id}").text


def test_new_order_has_no_transaction(sandbox: Sandbox) -> None:
    order_id = next_id()
    sandbox.session(order_id)

    order = sandbox.status(order_id)

    assert (order["status"], order["status_id"]) == ("NEW", 10)
    assert "txn_id" not in order
    assert order["maximum_eligible_refund_amount"] == 0


def test_unknown_order_is_not_found(sandbox: Sandbox) -> None:
    answer = sandbox.http.get("/orders/NOSUCHORDER")

    assert answer.status_code == 400
    assert answer.json() == {
        "status": "NOT_FOUND",
        "status_id": 40,
        "order_id": "NOSUCHORDER",
        "error_info": {
            "user_message": "Order Not Found",
            "developer_message": "Order Not Found",
            "code": "RESOURCE_NOT_FOUND",
            "category": "USER_ERROR",
        },
    }


def test_order_ids_differ_by_case(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order(prefix="Case")

    assert sandbox.status(order_id.upper())["status"] == "NOT_FOUND"
