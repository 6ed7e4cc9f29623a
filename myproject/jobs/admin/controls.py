"""Holds in the admin: pause a queue or a task, pull a kill switch, let go; and who steered what."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from myproject.errors import AppError
from myproject.jobs.actions.controls import hold, kill_task, let_go
from myproject.jobs.admin.base import ReadOnlyAdmin, actor_of, may_steer
from myproject.jobs.admin.forms import known_tasks
from myproject.jobs.controls import ControlAction, ControlKind
from myproject.jobs.models import Control, SteeringEvent
from myproject.settings.celery import QUEUES


class ControlForm(forms.ModelForm):  # type: ignore[type-arg]
    """One hold."""

    what = forms.ChoiceField(help_text="Jobs of it do not start until it is let go. None is lost, new ones wait too.")
    action = forms.ChoiceField(
        choices=[
            (str(ControlAction.PAUSE), "pause: what runs now ends as it would"),
            (str(ControlAction.KILL), "kill switch of a task: what runs now in lease mode is terminated"),
        ]
    )
    reason = forms.CharField(max_length=255, widget=forms.TextInput(attrs={"size": 60}))

    class Meta:
        model = Control
        fields = ("action", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        queues = [(f"{ControlKind.QUEUE}:{queue.name}", queue.name) for queue in QUEUES]
        tasks = [(f"{ControlKind.TASK}:{name}", name) for name in known_tasks()]
        choices = [("", "---------"), ("Queues", queues), ("Tasks", tasks)]
        self.fields["what"].choices = choices  # type: ignore[attr-defined]  # it is the field above

    def clean(self) -> dict[str, Any]:
        """Refuse a kill switch for a queue."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if data.get("action") == ControlAction.KILL and data.get("what", "").startswith(f"{ControlKind.QUEUE}:"):
            self.add_error("action", "The kill switch stops tasks; a queue is paused.")
        return data


@admin.register(Control)
class ControlAdmin(admin.ModelAdmin[Control]):
    """What is held. To add one holds it; to delete one lets it go. Both are audited."""

    form = ControlForm
    fields = ("what", "action", "reason")
    list_display = ("name", "kind", "action", "since", "actor", "reason")
    list_filter = ("kind", "action")
    actions = ("let_go_selected",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever steers sees what is held."""
        return may_steer(request) or super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may hold."""
        return may_steer(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A hold is not changed; it is let go."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell whether the user may let go."""
        return may_steer(request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the columns of a hold that stands, and the form for a new one."""
        return ("kind", "name", "action", "reason", "actor", "since") if obj else self.fields

    def get_actions(self, request: HttpRequest) -> Any:
        """Let go in place of deleting, which would say the wrong thing."""
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        return found if may_steer(request) else {}

    def save_model(self, request: HttpRequest, obj: Control, form: Any, change: bool) -> None:
        """Hold what the form says, by the same action as the command."""
        kind, _, name = form.cleaned_data["what"].partition(":")
        signed = {"actor": actor_of(request), "reason": form.cleaned_data["reason"]}
        action = ControlAction(form.cleaned_data["action"])
        if action is ControlAction.KILL:
            count = kill_task(name=name, **signed)
            messages.info(request, f"{count} running jobs were terminated.")
        else:
            hold(kind=ControlKind(kind), name=name, **signed)
        row = Control.objects.get(kind=kind, name=name, action=action)
        obj.pk, obj.kind, obj.name, obj.actor, obj.since = row.pk, row.kind, row.name, row.actor, row.since
        obj._state.adding = False

    def delete_model(self, request: HttpRequest, obj: Control) -> None:
        """Let go, by the same action as the command."""
        let_go(
            kind=ControlKind(obj.kind), name=obj.name, action=ControlAction(obj.action), actor=actor_of(request),
            reason="let go in the admin",
        )  # fmt: skip

    @admin.action(description="Let go: resume or release")
    def let_go_selected(self, request: HttpRequest, queryset: QuerySet[Control]) -> None:
        """Let several go."""
        for row in queryset:
            try:
                self.delete_model(request, row)
                messages.success(request, f"The {row.kind} {row.name} goes on.")
            except AppError as error:
                messages.error(request, error.message)


@admin.register(SteeringEvent)
class SteeringEventAdmin(ReadOnlyAdmin):
    """Who steered what; to look at only."""

    list_display = ("at", "actor", "action", "count", "reason", "filters")
    list_filter = ("action",)
    search_fields = ("=actor", "reason")
    ordering = ("-id",)
