"""The admin of orders and money: everything can be looked at, and what money has touched can only be looked at."""

from orders.admin.cancellations import CancellationRequestAdmin
from orders.admin.ledger import FinancialAdjustmentAdmin, ImportBatchAdmin, LedgerTransactionAdmin
from orders.admin.orders import CartAdmin, CustomerAdmin, OrderAdmin
from orders.admin.payments import PaymentAdmin, RefundAdmin, WebhookEventAdmin

__all__ = (
    "CancellationRequestAdmin",
    "CartAdmin",
    "CustomerAdmin",
    "FinancialAdjustmentAdmin",
    "ImportBatchAdmin",
    "LedgerTransactionAdmin",
    "OrderAdmin",
    "PaymentAdmin",
    "RefundAdmin",
    "WebhookEventAdmin",
)
