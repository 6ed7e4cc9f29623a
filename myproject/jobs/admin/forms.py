"""What operators type: which jobs they mean, and that they mean it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from celery import current_app
from django import forms
from django.core.exceptions import ValidationError

from myproject.errors import InvalidInput
from myproject.jobs.aliases import is_stand_in
from myproject.jobs.queries.filters import JobFilter, read_age, read_state
from myproject.jobs.queries.jobs import read_search
from myproject.jobs.states import JobState
from myproject.settings.celery import QUEUES


def known_tasks() -> list[str]:
    """Return the names of the tasks of this version, without old names."""
    tasks = current_app.tasks
    return sorted(name for name in tasks if not name.startswith("celery.") and not is_stand_in(tasks[name]))


class FilterForm(forms.Form):
    """Which jobs a list shows. Everything is optional."""

    q = forms.CharField(required=False, label="Search")
    state = forms.MultipleChoiceField(
        required=False,
        choices=[(state.label, state.label) for state in JobState],
        widget=forms.CheckboxSelectMultiple,
    )
    queue = forms.ChoiceField(required=False)
    task = forms.CharField(required=False, widget=forms.TextInput(attrs={"list": "known-tasks", "size": 36}))
    older = forms.CharField(required=False, label="Older than", widget=forms.TextInput(attrs={"size": 6}))
    newer = forms.CharField(required=False, label="Newer than", widget=forms.TextInput(attrs={"size": 6}))
    fingerprint = forms.CharField(required=False, widget=forms.TextInput(attrs={"size": 18}))
    workflow = forms.CharField(required=False, widget=forms.TextInput(attrs={"size": 36}))
    after = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now
        names = [(queue.name, queue.name) for queue in QUEUES]
        self.fields["queue"].choices = [("", "any"), *names]  # type: ignore[attr-defined]  # it is the field above

    def clean_older(self) -> datetime | None:
        """Read an age."""
        return self._read_age("older")

    def clean_newer(self) -> datetime | None:
        """Read an age."""
        return self._read_age("newer")

    def _read_age(self, name: str) -> datetime | None:
        text = self.cleaned_data[name]
        try:
            return self.now - read_age(text) if text else None
        except (InvalidInput, OverflowError) as error:
            raise ValidationError(getattr(error, "message", "That is too long ago.")) from None

    def wanted(self) -> JobFilter:
        """Return the filter; the search's own finding is narrowed by the fields that are set."""
        given = self.cleaned_data
        found = read_search(given["q"]) if given["q"].strip() else JobFilter()
        fields = {
            "states": tuple(read_state(text) for text in given["state"]),
            "task": given["task"].strip(),
            "queue": given["queue"],
            "fingerprint": given["fingerprint"].strip(),
            "roots": tuple(filter(None, [given["workflow"].strip()])),
            "created_before": given["older"],
            "created_after": given["newer"],
        }
        return replace(found, **{name: value for name, value in fields.items() if value})


class ConfirmForm(forms.Form):
    """The confirmation of an action: the count that was shown, and why."""

    expected = forms.IntegerField(widget=forms.HiddenInput, min_value=0)
    reason = forms.CharField(max_length=255, required=True, widget=forms.TextInput(attrs={"size": 60}))
