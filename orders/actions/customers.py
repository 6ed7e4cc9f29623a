"""Who buys: customers of feeds, registered customers, guests."""

from __future__ import annotations

from dataclasses import dataclass

from myproject.accounts.models import User
from orders.actions.sources import WEB
from orders.models import Customer


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerData:
    """A customer as a feed describes them; without a reference it is a guest."""

    reference: str = ""
    email: str = ""
    name: str = ""
    country: str = ""
    language: str = "en"


def ensure_feed_customer(*, source: str, data: CustomerData | None) -> Customer:
    """Return the customer that a feed means, made where needed; a guest is always new, one per order.

    What is known of a customer stays; only what was empty is filled in. Safe under two requests at once.
    """
    data = data or CustomerData()
    values = {"email": data.email, "name": data.name, "country": data.country}
    if not data.reference:
        return Customer.objects.create(source=source, external_reference=None, language=data.language, **values)
    customer, created = Customer.objects.get_or_create(
        source=source, external_reference=data.reference, defaults={"language": data.language, **values}
    )
    missing = [] if created else [field for field, value in values.items() if value and not getattr(customer, field)]
    if missing:
        for field in missing:
            setattr(customer, field, values[field])
        customer.save(update_fields=[*missing, "updated_at"])
    return customer


def ensure_registered_customer(*, user: User) -> Customer:
    """Return the customer of a registered user, made at their first step in the shop."""
    customer, _ = Customer.objects.get_or_create(
        user=user, defaults={"source": WEB, "email": user.email, "name": user.full_name}
    )
    return customer
