"""The rows of orders and money, one module per topic."""

from .batches import FinancialAdjustment, ImportBatch
from .cancellations import Cancellation, CancellationLine, CancellationRequest, PriceDifference, UnmatchedLine
from .carts import Cart, CartLine
from .customers import Customer
from .ledger import Account, LedgerEntry, LedgerTransaction
from .orders import LineKind, Order, OrderEvent, OrderLine
from .payments import Payment, Refund, WebhookEvent

__all__ = (
    "Account",
    "Cancellation",
    "CancellationLine",
    "CancellationRequest",
    "Cart",
    "CartLine",
    "Customer",
    "FinancialAdjustment",
    "ImportBatch",
    "LedgerEntry",
    "LedgerTransaction",
    "LineKind",
    "Order",
    "OrderEvent",
    "OrderLine",
    "Payment",
    "PriceDifference",
    "Refund",
    "UnmatchedLine",
    "WebhookEvent",
)
