"""The admin's page of index states: look, compare, rebuild."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from myproject.jobs.sending import enqueue
from search.models import IndexState


@admin.register(IndexState)
class IndexStateAdmin(admin.ModelAdmin[IndexState]):
    """Read only: the states follow the builds."""

    list_display = ("name", "status", "documents", "built_at", "verified_at", "repaired")
    readonly_fields = ("name", "status", "documents", "built_at", "verified_at", "repaired", "created_at", "updated_at")
    actions = ("compare", "rebuild")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: a state is made by its build."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: IndexState | None = None) -> bool:
        """Nobody: a state is made by its build."""
        return False

    @admin.action(description="Compare with the catalogue and repair", permissions=["change"])
    def compare(self, request: HttpRequest, queryset: QuerySet[IndexState]) -> None:
        """Enqueue a comparison."""
        enqueue("search.tasks.verify_index")
        self.message_user(request, "The comparison was enqueued.", messages.SUCCESS)

    @admin.action(description="Build anew", permissions=["change"])
    def rebuild(self, request: HttpRequest, queryset: QuerySet[IndexState]) -> None:
        """Enqueue a build."""
        enqueue("search.tasks.rebuild_index")
        self.message_user(request, "The build was enqueued.", messages.SUCCESS)
