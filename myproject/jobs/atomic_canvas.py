"""Making each call of a group, a chain or a chord one transaction. Imports no models: Django's start calls it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from celery import canvas, states
from celery.result import EagerResult, GroupResult
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from kombu.utils.uuid import uuid


def install() -> None:
    """Make each call of a group, a chain or a chord one transaction, for apps whose results are rows.

    They send their members one after the other. Without a transaction around them a process that dies in between
    leaves a chord that can never be complete.
    """
    kinds: tuple[Any, ...] = (canvas.group, canvas._chain, canvas._chord)  # type: ignore[attr-defined]
    for kind in kinds:
        if not hasattr(kind.apply_async, "__wrapped__"):
            kind.apply_async = _in_one_transaction(kind.apply_async)


def _in_one_transaction(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def apply_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        app = self.app
        if not getattr(app.backend, "keeps_rows", False):
            return method(self, *args, **kwargs)
        if app.conf.task_always_eager:
            blocks = connections[DEFAULT_DB_ALIAS].atomic_blocks
            if all(getattr(block, "_from_testcase", False) for block in blocks):
                return method(self, *args, **kwargs)
            return _eagerly_on_commit(self, partial(method, self, *args, **kwargs))
        with transaction.atomic():
            sent = method(self, *args, **kwargs)
            if isinstance(self, canvas._chord) and isinstance(sent.parent, GroupResult):  # type: ignore[attr-defined]
                app.backend.note_parts(sent.parent)
            return sent

    return apply_async


def _eagerly_on_commit(signature: Any, call: Callable[[], Any]) -> Any:
    """Run an eager workflow when the caller's transaction commits, as an eager task does; fill its result then."""
    if isinstance(signature, canvas.group):
        members: list[Any] = []
        several = GroupResult(uuid(), members, app=signature.app)
        transaction.on_commit(lambda: members.extend(call().results))
        return several
    result: Any = EagerResult(uuid(), None, states.PENDING, name=signature.task)

    def run() -> None:
        done = call()
        if isinstance(done, EagerResult):
            result._state, result._result, result._traceback = done.state, done.result, done.traceback
        elif done is not None:  # a chain that ends in a group
            result._state = states.SUCCESS if done.successful() else states.FAILURE
            result._result = [member.result for member in done.results]

    transaction.on_commit(run)
    return result
