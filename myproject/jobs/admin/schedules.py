"""The schedule in the admin: what is typed in is checked before beat reads it, because beat stops on what it cannot.

Replaces django-celery-beat's own forms, which take any text as the name of a task.
"""

from __future__ import annotations

import inspect
import json
from importlib.util import find_spec
from typing import Any

from celery import current_app
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat.admin import PeriodicTaskAdmin as StockPeriodicTaskAdmin
from django_celery_beat.admin import ScheduleAdmin
from django_celery_beat.models import IntervalSchedule, PeriodicTask, SolarSchedule
from kombu.exceptions import OperationalError
from kombu.utils.json import loads

from myproject.jobs.aliases import is_stand_in, planned_targets, resolve
from myproject.settings.celery import QUEUES

#: The longest interval in each unit: ten years. Beat computes with it, and a date after the year 9999 ends beat.
LONGEST_INTERVAL = {"days": 3_653, "hours": 87_672, "minutes": 5_260_320, "seconds": 315_619_200}

NO_EPHEM = "Solar schedules need the package `ephem`, which is not installed; choose a crontab, or install it first."

#: What decoding a value that names its own type ({"__type__": ...}) may raise, beside what JSON itself raises.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)


def schedulable_tasks() -> dict[str, list[str]]:
    """Return the names of the tasks that may be scheduled: present ones, and old names that stand for one."""
    planned = planned_targets()
    names = sorted(
        name for name in current_app.tasks if not name.startswith("celery.") and resolve(name) not in planned
    )
    old = [name for name in names if is_stand_in(current_app.tasks[name])]
    old = [name for name in old if resolve(name) in current_app.tasks]
    return {"Tasks": [name for name in names if resolve(name) == name and name not in old], "Old names": old}


def _read_json(text: str | None, *, kind: type, example: str) -> Any:
    """Return what a field holds. Raises ValidationError with the remedy."""
    try:
        found = json.loads(text or "null")
        loads(text or "null")  # as beat reads it
    except UNREADABLE as error:
        raise ValidationError(f"This is not JSON ({error}); write {example}.") from None
    found = kind() if found is None and not text else found
    if not isinstance(found, kind):
        raise ValidationError(f"This is JSON of another kind; write {example}.")
    return found


class PeriodicTaskForm(forms.ModelForm):  # type: ignore[type-arg]  # the model has no types
    """One entry of the schedule."""

    task = forms.ChoiceField(help_text="What is run. Tasks that a later version brings cannot be scheduled yet.")

    class Meta:
        model = PeriodicTask
        exclude = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        groups = schedulable_tasks()
        present = self.instance.task
        if present in current_app.tasks and not any(present in names for names in groups.values()):
            groups["As it is"] = [present]  # such as Celery's own clean-up, whose time may be changed
        choices = [(label, [(name, name) for name in names]) for label, names in groups.items() if names]
        field = self.fields["task"]
        field.choices = [("", "---------"), *choices]  # type: ignore[attr-defined]  # it is the field above
        field.error_messages["invalid_choice"] = (
            "There is no task %(value)s that can be scheduled; choose one of the list."
        )
        if self.instance.pk and present not in current_app.tasks:
            field.help_text = f"{present} is not a task of this version: choose another, or delete this entry."

    def clean_args(self) -> str:
        """Check the positional arguments."""
        return json.dumps(_read_json(self.cleaned_data["args"], kind=list, example='a list such as [12, "text"]'))

    def clean_kwargs(self) -> str:
        """Check the arguments by name."""
        example = 'an object such as {"order_id": 12}'
        return json.dumps(_read_json(self.cleaned_data["kwargs"], kind=dict, example=example))

    def clean_headers(self) -> str:
        """Check the headers."""
        example = 'an object such as {"reason": "nightly"}'
        return json.dumps(_read_json(self.cleaned_data["headers"], kind=dict, example=example))

    def clean_queue(self) -> str | None:
        """Check that somebody consumes the queue."""
        queue: str | None = self.cleaned_data["queue"] or None
        known = [found.name for found in QUEUES if found.app == current_app.main]
        if queue is not None and queue not in known:
            raise ValidationError(f"No worker reads {queue!r}; leave it empty, or choose one of {', '.join(known)}.")
        return queue

    def clean_solar(self) -> SolarSchedule | None:
        """Refuse what beat cannot compute."""
        solar: SolarSchedule | None = self.cleaned_data["solar"]
        if solar is not None and find_spec("ephem") is None:
            raise ValidationError(NO_EPHEM)
        return solar

    def clean(self) -> dict[str, Any]:
        """Check what concerns several fields: the task's arguments, and one way to expire."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if data.get("expires") and data.get("expire_seconds") is not None:
            self.add_error("expire_seconds", "Set either this or `expires`, not both.")
        if {"task", "args", "kwargs"} <= set(data):
            self._check_signature(data["task"], args=json.loads(data["args"]), kwargs=json.loads(data["kwargs"]))
        return data

    def _check_signature(self, name: str, *, args: list[Any], kwargs: dict[str, Any]) -> None:
        signature = inspect.signature(current_app.tasks[name].run)
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            takes = f"it takes {signature}".replace("()", "no arguments")
            self.add_error("kwargs" if kwargs else "args", f"This does not fit {name}: {error}; {takes}.")


class PeriodicTaskAdmin(StockPeriodicTaskAdmin):  # type: ignore[misc]  # the package has no types
    """Entries of the schedule."""

    form = PeriodicTaskForm
    fieldsets = (
        (None, {"fields": ("name", "task", "enabled", "description")}),
        *StockPeriodicTaskAdmin.fieldsets[1:],
    )

    @admin.action(description="Run selected entries now")
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Send the entries' tasks once; says what cannot be sent instead of breaking."""
        try:
            super().run_tasks(request, queryset)
        except UNREADABLE as error:
            text = f"Not everything was sent, because the arguments of an entry do not fit its task: {error}"
            self.message_user(request, text, level=messages.ERROR)
        except OperationalError as error:
            self.message_user(request, f"Not everything was sent, because of the broker: {error}", level=messages.ERROR)


class IntervalForm(forms.ModelForm):  # type: ignore[type-arg]
    """An interval that beat can compute with."""

    class Meta:
        model = IntervalSchedule
        fields = ("every", "period")

    def clean(self) -> dict[str, Any]:
        """Refuse what is longer than ten years, and what would fire without end."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        every, period = data.get("every"), data.get("period")
        if period == "microseconds" and every is not None and every < 1_000_000:
            self.add_error("every", "An entry fires once a second at most; choose 1,000,000 microseconds or more.")
        longest = LONGEST_INTERVAL.get(period or "", 2**31 - 1)
        if every is not None and every > longest:
            self.add_error("every", f"The longest interval is {longest:,} {period}.")
        return data


class IntervalAdmin(ScheduleAdmin):  # type: ignore[misc]
    """Intervals."""

    form = IntervalForm


class SolarForm(forms.ModelForm):  # type: ignore[type-arg]
    """A solar event, where it can be computed."""

    class Meta:
        model = SolarSchedule
        fields = ("event", "latitude", "longitude")

    def clean(self) -> dict[str, Any]:
        """Refuse it without the package that computes it."""
        if find_spec("ephem") is None:
            raise ValidationError(NO_EPHEM)
        return super().clean() or self.cleaned_data


class SolarAdmin(ScheduleAdmin):  # type: ignore[misc]
    """Solar events."""

    form = SolarForm


for model, model_admin in (
    (PeriodicTask, PeriodicTaskAdmin),
    (IntervalSchedule, IntervalAdmin),
    (SolarSchedule, SolarAdmin),
):
    admin.site.unregister(model)
    admin.site.register(model, model_admin)
