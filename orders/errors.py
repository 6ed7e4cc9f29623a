"""What can be wrong with an order, a cart or a cancellation, and who reads it."""

from __future__ import annotations

from myproject.errors import Conflict, InvalidInput, NotFound, RetryableError, TerminalError


class OrderNotFound(NotFound):
    """There is no such order, or it is not the caller's to see."""

    code = "order_not_found"


class OrderDiffers(Conflict):
    """An order, cancellation or adjustment of that number is there already and says something else."""

    code = "number_taken"


class LineInvalid(InvalidInput):
    """One line of an order or a cancellation is wrong; `field` names the line and the value, as `lines[3].sku`."""

    code = "line_invalid"


class CartUnusable(Conflict):
    """The cart cannot become an order: empty, not for sale, no price, not enough stock."""

    code = "cart_unusable"


class NothingToCancel(Conflict):
    """There are fewer units left on the order than the cancellation takes back."""

    code = "nothing_to_cancel"


class OrderInvalid(TerminalError):
    """The order does not add up or is past paying. Read by the operator who sees the failed task."""

    code = "order_invalid"


class PaymentOpen(RetryableError):
    """The customer has not paid yet; asking again later may find that they did."""

    code = "payment_open"


class NoPayment(TerminalError):
    """The order has an amount to pay and no payment was ever started. Read by the operator."""

    code = "no_payment"


class ArticleNotFound(NotFound):
    """There is no such article for sale."""

    code = "article_not_found"


class CartNotFound(NotFound):
    """There is no such cart, or it is not the caller's."""

    code = "cart_not_found"
