"""Customers, carts, orders, payments, cancellations, refunds and the ledger."""
