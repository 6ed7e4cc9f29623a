"""What the pages of jobs share: nothing is changed by hand, and steering needs its own permission."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

STEER = "jobs.steer_job"
VIEW_ARGUMENTS = "jobs.view_arguments"


def may_steer(request: HttpRequest) -> bool:
    """Tell whether the user may retry, discard, cancel, terminate and hold jobs."""
    return request.user.has_perm(STEER)  # type: ignore[union-attr]  # the admin lets nobody else in


def actor_of(request: HttpRequest) -> str:
    """Return the name under which the audit keeps what the user does."""
    return str(request.user.get_username())  # type: ignore[union-attr]


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows to look at. The table is not counted twice: that is slow on large ones."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds one by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes one by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes one by hand."""
        return False
