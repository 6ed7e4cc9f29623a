"""CHECK constraints that many tables share; each holds alike on SQLite, MySQL and MariaDB."""

from __future__ import annotations

from django.db.models import CheckConstraint, F, Q
from django.db.models.functions import Length, Upper
from django.db.models.lookups import Exact


def currency_code(name: str, field: str = "currency") -> CheckConstraint:
    """Return the rule that a currency has three characters and no small letter. The column must be a CodeField."""
    # A regular expression would say more, but SQLite has none without a function of Django's own.
    return CheckConstraint(
        condition=Q(Exact(Length(F(field)), 3)) & Q(Exact(Upper(F(field)), F(field))) & Q((f"{field}__gte", "AAA")),
        name=name,
    )


def not_empty(name: str, *fields: str) -> CheckConstraint:
    """Return the rule that none of these texts is empty; NULL is not empty."""
    condition = Q()
    for field in fields:
        condition &= ~Q((field, ""))
    return CheckConstraint(condition=condition, name=name)
