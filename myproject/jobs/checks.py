"""What a task declares is checked when Django starts: a contradiction stops the start and not a job at night."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from django.core import checks
from django.utils.module_loading import import_string

MODES = ("transaction", "lease")
UNKNOWN = ("lookup", "resend", "park")
POLICIES = ("skip", "replace", "extend")
#: Names that look like an option of ours and are none: a task that says `on_unkown` must not start.
OPTIONS = frozenset(
    (
        *("durable", "mode", "lease", "on_unknown", "look_up", "business_keys", "unique", "unique_policy"),
        *("concurrency_key", "max_attempts", "retention"),
    )
)


def check_tasks(apps: Any, **_: Any) -> list[checks.CheckMessage]:
    """Check every task of both Celery apps."""
    found = [(app.main, task) for app in apps for name, task in sorted(app.tasks.items()) if not _is_celerys(name)]
    return [
        checks.Error(f"{task.name}: {text}", obj=f"{main}:{task.name}", id="jobs.E001")
        for main, task in found
        for text in contradictions(task)
    ]


def _is_celerys(name: str) -> bool:
    return name.startswith("celery.")


def contradictions(task: Any) -> Iterator[str]:
    """Return a sentence for everything in a task's declaration that cannot hold, each with the remedy."""
    if not getattr(task, "durable", False):
        declared = sorted(name for name in OPTIONS - {"durable"} if name in type(task).__dict__)
        if declared:
            yield f"it is best effort (durable=False) and declares {', '.join(declared)}: drop one or the other."
        return
    yield from _check_mode(task)
    yield from _check_keys(task)
    if not isinstance(task.max_attempts, int) or task.max_attempts < 1:
        yield f"max_attempts is {task.max_attempts!r}: it is a number from 1."
    if not task.retention > 0:
        yield f"retention is {task.retention!r}: it is a number of seconds above 0."
    if task.serializer not in (None, "json"):
        yield f"serializer is {task.serializer!r}: jobs are JSON; another one is for best-effort tasks (durable=False)."


def _check_mode(task: Any) -> Iterator[str]:
    if task.mode not in MODES:
        yield f"mode is {task.mode!r}: it is one of {', '.join(MODES)}."
    elif task.mode == "transaction" and (task.on_unknown or task.look_up):
        yield "on_unknown and look_up are for mode='lease': a transaction's outcome is always known."
    elif task.mode == "lease":
        if task.on_unknown not in UNKNOWN:
            yield f"on_unknown is {task.on_unknown!r}: with mode='lease' it is one of {', '.join(UNKNOWN)}."
        if (task.on_unknown == "lookup") != (task.look_up is not None):
            yield "look_up (a function of the task's arguments) belongs to on_unknown='lookup', and only there."
        if not task.lease > 0:
            yield f"lease is {task.lease!r}: it is a number of seconds above 0."
    if isinstance(task.look_up, str):
        try:
            import_string(task.look_up)
        except ImportError as error:
            yield f"look_up names {task.look_up!r}, which cannot be imported ({error})."


def _check_keys(task: Any) -> Iterator[str]:
    parameters = inspect.signature(task.run).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    if task.unique_policy not in POLICIES:
        yield f"unique_policy is {task.unique_policy!r}: it is one of {', '.join(POLICIES)}."
    for option in ("unique", "concurrency_key"):
        names = getattr(task, option)
        for name in names if isinstance(names, tuple | list) else ():
            if name not in parameters:
                yield f"{option} names {name!r}, which is no argument; they are {', '.join(parameters) or 'none'}."
    for key, name in (task.business_keys or {}).items():
        if name.partition(".")[0] not in parameters:
            yield f"business_keys: {key!r} is the argument {name!r}, and there is none of that name."
