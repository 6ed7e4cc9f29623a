"""What jobs are asked for: one filter, the same for lists, counts, searches and bulk actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils.dateparse import parse_datetime

from myproject.errors import InvalidInput
from myproject.jobs.aliases import old_names, resolve
from myproject.jobs.states import JobState

#: The most ids in one filter: they stand in one statement, and more are better found by what they have in common.
MOST_IDS = 1_000


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs are meant: those that fit every field that is set. Empty, it means every job.

    `states`, `task` (an old name means its present task), `queue`, `roots` (ids of the first jobs of workflows), `ids`;
    `key` and `key_name` for a business key; `fingerprint` for errors of one cause; `created_before` and
    `created_after` for the age. The age is stated as moments, so that a filter that was counted and confirmed means
    the same jobs a minute later. `sent` leaves out rows that only hold the outcome of a task that was never sent,
    because a step before it failed: they stand in no queue, and there is nothing to run.
    """

    states: tuple[JobState, ...] = ()
    task: str = ""
    queue: str = ""
    roots: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    key: str = ""
    key_name: str = ""
    fingerprint: str = ""
    created_before: datetime | None = None
    created_after: datetime | None = None
    sent: bool = False

    def __post_init__(self) -> None:
        for name in ("ids", "roots"):
            count = len(getattr(self, name))
            if count > MOST_IDS:
                raise InvalidInput(f"{count:,} {name} are more than {MOST_IDS:,}; send them in parts.", field=name)
        if self.key_name and not self.key:
            raise InvalidInput("The name of a business key needs a value.", field="key")
        object.__setattr__(self, "states", tuple(sorted(set(self.states))))
        object.__setattr__(self, "task", resolve(self.task))

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names under which rows of the task may stand: a row keeps the name that was sent."""
        return (self.task, *old_names(self.task)) if self.task else ()

    @property
    def condition(self) -> Q:
        """Everything that a row must fulfil, except its business key, which stands in a table of its own."""
        found = Q()
        if self.states:
            found &= Q(state__in=self.states)
        if self.task:
            found &= Q(task__in=self.task_names)
        if self.queue:
            found &= Q(queue=self.queue)
        if self.sent:
            found &= ~Q(queue="")
        if self.ids:
            found &= Q(id__in=self.ids)
        if self.roots:
            found &= Q(root_id__in=self.roots) | Q(id__in=self.roots)
        return found & self.unindexed

    @property
    def unindexed(self) -> Q:
        """The part of the condition that no index of the jobs helps with: it is checked row by row."""
        found = Q()
        if self.fingerprint:
            found &= Q(fingerprint=self.fingerprint)
        if self.created_before:
            found &= Q(created_at__lt=self.created_before)
        if self.created_after:
            found &= Q(created_at__gte=self.created_after)
        return found

    def within(self, states: tuple[JobState, ...]) -> JobFilter:
        """Return this filter for those of its states that an action applies to. Raises InvalidInput when none is."""
        wanted = tuple(state for state in self.states or states if state in states)
        if not wanted:
            asked = ", ".join(JobState(state).label for state in self.states)
            fits = ", ".join(state.label for state in states)
            raise InvalidInput(f"This applies to jobs that are {fits}, and not to {asked} ones.", field="states")
        return replace(self, states=wanted, sent=True)

    def as_json(self) -> dict[str, Any]:
        """Return the fields that are set, as the audit keeps them and links carry them."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        found = {name: value for name, value in fields.items() if value and name != "sent"}
        if self.states:
            found["states"] = [state.label for state in self.states]
        for name in ("ids", "roots"):
            if name in found:
                found[name] = list(found[name])
        for name in ("created_before", "created_after"):
            if name in found:
                found[name] = found[name].isoformat()
        return found

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> JobFilter:
        """Return the filter that `as_json` gave. Raises InvalidInput, naming the field."""
        unknown = set(given) - set(cls.__dataclass_fields__)
        if unknown:
            raise InvalidInput(f"There is no filter {min(unknown)!r}.", field=min(unknown))
        fields = {name: value for name, value in given.items() if value}
        fields["states"] = tuple(read_state(text) for text in fields.get("states", ()))
        fields["ids"], fields["roots"] = (tuple(fields.get(name, ())) for name in ("ids", "roots"))
        for name in ("created_before", "created_after"):
            if name in fields:
                fields[name] = _read_moment(fields[name], field=name)
        return cls(**fields)


def read_state(text: str) -> JobState:
    """Return the state of that name. Raises InvalidInput."""
    try:
        return JobState[str(text).upper()]
    except KeyError:
        known = ", ".join(state.label for state in JobState)
        raise InvalidInput(f"There is no state {text!r}; the states are {known}.", field="states") from None


UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def read_age(text: str) -> timedelta:
    """Return the age that is written as `90`, `90s`, `15m`, `2h`, `7d` or `1w`. Raises InvalidInput."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in UNITS else (text, "s")
    try:
        found = timedelta(seconds=float(number) * UNITS[unit])
        if found < timedelta():
            raise ValueError
    except (ValueError, OverflowError):
        raise InvalidInput(f"{text!r} is no age; write 90s, 15m, 2h, 7d or 1w.", field="age") from None
    return found


def _read_moment(text: str, *, field: str) -> datetime:
    try:
        found = parse_datetime(text)
    except (ValueError, TypeError):
        found = None
    if found is None:
        raise InvalidInput(f"{text!r} is no moment; write 2026-05-01T12:00:00+00:00.", field=field)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
