"""The double-entry ledger: every movement of money as legs that add up to zero; never changed or deleted."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from myproject.append_only import AppendOnlyModel
from myproject.constraints import currency_code, not_empty
from myproject.fields import CodeField
from orders.models.orders import Order


class Account(models.TextChoices):
    """The accounts. Debits are positive, credits negative."""

    PROVIDER_CLEARING = "provider_clearing", "Money at the payment provider"
    CUSTOMER_PREPAYMENTS = "customer_prepayments", "Paid by customers, not yet earned"
    SALES = "sales", "Sales of goods"
    POSTAGE_INCOME = "postage_income", "Postage"
    FEE_INCOME = "fee_income", "Fees"
    VOUCHER_LIABILITY = "voucher_liability", "Gift vouchers sold"
    DISCOUNTS = "discounts", "Discounts given"
    SALES_RETURNS = "sales_returns", "Cancelled sales"
    REFUNDS_PAYABLE = "refunds_payable", "Refunds owed to customers"
    RECEIVABLES = "receivables", "Owed by customers"
    BAD_DEBT = "bad_debt", "Bad debt and its corrections"


class LedgerTransaction(AppendOnlyModel):
    """One business fact in the ledger. `operation_key` derives from it (`payment:12:capture`), so it is posted once."""

    operation_key = CodeField(max_length=128, unique=True)
    kind = models.CharField(max_length=32)
    order = models.ForeignKey(
        Order, null=True, blank=True, on_delete=models.PROTECT, related_name="ledger_transactions"
    )
    occurred_at = models.DateTimeField()

    class Meta:
        constraints = (not_empty("ledger_transaction_has_key", "operation_key"),)

    def __str__(self) -> str:
        return self.operation_key


class LedgerEntry(AppendOnlyModel):
    """One leg. Debit positive, credit negative, minor units; the legs of a transaction add up to zero."""

    transaction = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, related_name="entries")
    leg = models.PositiveSmallIntegerField()
    account = models.CharField(max_length=32, choices=Account.choices)
    amount_minor = models.BigIntegerField()
    currency = CodeField(max_length=3)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("transaction", "leg"), name="ledger_entry_leg"),
            models.CheckConstraint(condition=~Q(amount_minor=0), name="ledger_entry_not_zero"),
            models.CheckConstraint(condition=Q(account__in=Account.values), name="ledger_entry_account_known"),
            currency_code("ledger_entry_currency"),
        )
        indexes = (models.Index(fields=("account", "currency"), name="ledger_entry_account"),)
        verbose_name_plural = "ledger entries"

    def __str__(self) -> str:
        return f"{self.account} {self.amount_minor}"
