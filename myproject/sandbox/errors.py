"""The error answers of the provider, body by body. Read by the merchant's client, which decides by them."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer that is not a success: HTTP status and JSON body."""

    def __init__(self, http_status: int, body: dict[str, Any]) -> None:
        super().__init__(body.get("error_message") or body.get("status"))
        self.http_status = http_status
        self.body = body


def _info(code: str, user_message: str, developer_message: str, **more: Any) -> dict[str, Any]:
    return {
        "user_message": user_message,
        "developer_message": developer_message,
        "code": code,
        "category": "USER_ERROR",
        **more,
    }


def access_denied(reason: str) -> ApiError:
    """Return the answer to a call without the right key, an empty password or the right merchant."""
    info = _info("UNAUTHORIZED", "Unauthorized.", reason)
    return ApiError(401, {"status": "error", "error_code": "access_denied", "error_info": info})


def order_not_found(order_id: str) -> ApiError:
    """Return the answer about an order that the provider does not know."""
    info = _info("RESOURCE_NOT_FOUND", "Order Not Found", "Order Not Found")
    return ApiError(400, {"status": "NOT_FOUND", "status_id": 40, "order_id": order_id, "error_info": info})


def invalid_input(field: str, reason: str) -> ApiError:
    """Return the answer to a parameter that is missing or wrong when an order is created."""
    message = "Invalid input data"
    fields = [{"field_name": field, "reason": reason}]
    info = _info("INVALID_INPUT", message, message, fields=fields)
    body = {
        "status": "Bad Request",
        "error_code": "INVALID_REQUEST",
        "error_message": "Bad Request.",
        "error_info": info,
    }
    return ApiError(400, body)


def order_conflict(code: str, reason: str) -> ApiError:
    """Return the answer to an order id that is taken: by another amount (ALREADY_EXISTS) or paid (INVALID_ACTION)."""
    info = _info(code, "Invalid input data", reason)
    body = {
        "status": "Bad Request",
        "error_code": "INVALID_REQUEST",
        "error_message": "Bad Request.",
        "error_info": info,
    }
    return ApiError(400, body)


def mandatory_fields_missing() -> ApiError:
    """Return the answer to a refund without its mandatory field, which includes a body that is not a form."""
    message = "Mandatory fields are missing"
    return ApiError(400, {"status": "Bad Request", "error_message": message, "error_code": message})


def _refund_error(message: str, code: str, status_id: int | str = -1) -> ApiError:
    body = {"status_id": status_id, "status": "ERROR", "error_message": message, "error_code": code}
    return ApiError(400, body)


def duplicate_request_id() -> ApiError:
    """Return the answer to a unique_request_id that was used before."""
    message = "A refund call was already completed with this unique_request_id for the order."
    return _refund_error(message, "duplicate.call")


def duplicate_amount() -> ApiError:
    """Return the answer to a refund of an equal amount within the window. Same code as above: only the text differs."""
    message = "A refund call was already processing with this amount for the order."
    return _refund_error(message, "duplicate.call", status_id="-1")  # a text here, as in the provider's own table


def amount_exceeded() -> ApiError:
    """Return the answer to a refund above what is left of the captured amount."""
    return _refund_error("Refund amount exceeds the refundable amount.", "invalid.amount.exceeded")


def invalid_amount() -> ApiError:
    """Return the answer to a refund of nothing, of less than the smallest amount, or of no proper number."""
    return _refund_error("Amount is invalid.", "invalid amount")


def order_not_charged() -> ApiError:
    """Return the answer to a refund of an order that is not CHARGED."""
    return _refund_error("Cannot process unsuccessful order.", "invalid.order.not_successful")
