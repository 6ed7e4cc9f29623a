"""What the admin pages share: nothing can be added, changed or deleted, and money is shown as people write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from myproject.money import format_minor


class ReadOnly:
    """Rows that only actions of the program may write. Looking at them needs the view permission, as everywhere."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds one by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes one by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes one by hand."""
        return False


class ReadOnlyAdmin(ReadOnly, admin.ModelAdmin[Any]):
    """A page of rows to look at. The table is not counted twice: that is slow on large ones."""

    show_full_result_count = False
    list_per_page = 50


class ReadOnlyInline(ReadOnly, admin.TabularInline[Any, Any]):
    """Rows of a larger one; who may look at that may look at them, unless they need a permission of their own."""

    extra = 0
    can_delete = False
    show_change_link = False
    needs_own_permission = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the rows are shown on the larger one's page."""
        return super().has_view_permission(request, obj) if self.needs_own_permission else True


def money(field: str, label: str, *, currency: str = "currency") -> Callable[[Any], str]:
    """Return an admin column that shows the minor units in `field` with the currency found at the path `currency`."""

    @admin.display(description=label)
    def column(row: Any) -> str:
        owner: Any = row
        for step in currency.split("."):
            owner = getattr(owner, step)
        return f"{format_minor(getattr(row, field), owner)} {owner}"

    return column
