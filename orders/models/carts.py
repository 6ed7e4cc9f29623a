"""What a customer means to buy."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from catalog.models import Variant
from myproject.fields import TimestampedModel
from orders.models.customers import Customer
from orders.states import CartStatus


class Cart(TimestampedModel):
    """A customer's cart. `open_slot` is true while it is open and NULL after: one open cart each, on MySQL too."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="carts")
    status = models.CharField(max_length=16, choices=CartStatus.choices, default=CartStatus.OPEN)
    open_slot = models.BooleanField(null=True, default=True, editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("customer", "open_slot"), name="cart_one_open"),
            models.CheckConstraint(condition=Q(status__in=CartStatus.values), name="cart_status_known"),
            # Compared with NULL, a rule is neither true nor false and lets the row pass: hence "is not NULL" as well.
            models.CheckConstraint(
                condition=Q(status=CartStatus.OPEN, open_slot=True, open_slot__isnull=False)
                | (~Q(status=CartStatus.OPEN) & Q(open_slot__isnull=True)),
                name="cart_open_slot",
            ),
        )

    def __str__(self) -> str:
        return f"cart {self.pk}"


class CartLine(models.Model):
    """Units of one variant in a cart; the price is looked up at checkout, never taken from the customer."""

    cart = models.ForeignKey(Cart, on_delete=models.CASCADE, related_name="lines")
    variant = models.ForeignKey(Variant, on_delete=models.CASCADE, related_name="+")
    quantity = models.PositiveIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("cart", "variant"), name="cart_line_variant"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="cart_line_quantity"),
        )
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.quantity} x {self.variant_id}"
