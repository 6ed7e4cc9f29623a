"""Filling a cart. What a customer may choose is the article and the number of units; never a price."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from catalog.models import Variant
from catalog.states import ProductStatus
from myproject.accounts.models import User
from orders.actions.customers import ensure_registered_customer
from orders.errors import ArticleNotFound
from orders.models import Cart, CartLine


def open_cart(*, user: User) -> Cart:
    """Return the user's open cart, made at their first look; one each, whatever is clicked at once."""
    cart, _ = Cart.objects.get_or_create(customer=ensure_registered_customer(user=user), open_slot=True)
    return cart


def set_cart_line(*, user: User, sku: str, quantity: int, now: datetime) -> Cart:
    """Put so many units of an article in the user's open cart, in place of what was there; zero takes it out.

    Raises ArticleNotFound for what is not for sale.
    """
    with transaction.atomic():
        cart = _lock_open_cart(user=user)
        if quantity == 0:
            cart.lines.filter(variant__sku=sku).delete()
        else:
            variant = Variant.objects.filter(sku=sku, product__status=ProductStatus.ACTIVE).first()
            if variant is None:
                raise ArticleNotFound(f"sku: there is no article {sku!r} for sale.", field="sku")
            CartLine.objects.update_or_create(cart=cart, variant=variant, defaults={"quantity": quantity})
        Cart.objects.filter(pk=cart.pk).update(updated_at=now)
        return cart


def _lock_open_cart(*, user: User) -> Cart:
    """Return the open cart, locked: an order that is being placed from it sees all of a change or nothing."""
    cart = open_cart(user=user)
    locked = Cart.objects.select_for_update().filter(pk=cart.pk, open_slot=True).first()
    return locked or _lock_open_cart(user=user)  # it became an order in between: the next one is open
