"""State tables as data, and the only function of the project that assigns a `status`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db import models, transaction

from myproject.errors import Conflict

M = TypeVar("M", bound=models.Model)


class TransitionRefused(Conflict):
    """The state table has no such transition."""

    code = "transition_refused"


class TransitionLost(Conflict):
    """Another process changed the status first; nothing was written."""

    code = "transition_lost"


@dataclass(frozen=True)
class StateTable:
    """The allowed transitions of one model: from each status to the statuses that may follow."""

    name: str
    transitions: Mapping[str, frozenset[str]]

    def allows(self, current: str, target: str) -> bool:
        """Tell whether `target` may follow `current`."""
        return target in self.transitions.get(current, frozenset())

    @property
    def final(self) -> frozenset[str]:
        """The statuses that nothing follows."""
        return frozenset(status for status, targets in self.transitions.items() if not targets)


def state_table(name: str, transitions: Mapping[str, set[str]]) -> StateTable:
    """Build a state table. Raises ValueError when a target is not itself a row of the table."""
    unknown = {target for targets in transitions.values() for target in targets} - set(transitions)
    if unknown:
        raise ValueError(f"{name}: {sorted(unknown)} are targets without a row of their own.")
    return StateTable(name, {status: frozenset(targets) for status, targets in transitions.items()})


def transition(
    instance: M,
    target: str,
    *,
    table: StateTable,
    now: datetime,
    record: Callable[[M, str, str, datetime], object] | None = None,
    **changes: Any,
) -> M:
    """Move `instance` to status `target` and append its event, in the caller's transaction.

    `changes` are other fields written by the same statement. The UPDATE names the old status, so of two processes
    one wins. `record(instance, old, new, now)` appends the event row. Raises TransitionRefused when the table has no
    such transition, TransitionLost when another process was first, and TransactionManagementError outside a
    transaction, where event and status could part.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(f"{table.name}: a transition needs a transaction.")
    current: str = instance.status  # type: ignore[attr-defined]
    if not table.allows(current, target):
        raise TransitionRefused(f"{table.name} {instance.pk} is {current} and cannot become {target}.", current=current)
    fields = {field.name for field in instance._meta.concrete_fields}
    if "updated_at" in fields:
        changes.setdefault("updated_at", now)
    values = {"status": target, **changes}
    version = {"version": models.F("version") + 1} if "version" in fields else {}
    rows = type(instance)._base_manager.filter(pk=instance.pk, status=current).update(**values, **version)
    if rows != 1:
        raise TransitionLost(f"{table.name} {instance.pk} is no longer {current}.", current=current)
    if version:
        values["version"] = instance.version + 1  # type: ignore[attr-defined]
    for field, value in values.items():
        setattr(instance, field, value)
    if record is not None:
        record(instance, current, target, now)
    return instance
