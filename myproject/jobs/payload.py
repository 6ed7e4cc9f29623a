"""What may stand in a job: JSON, of a bounded size, and no model instances."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, QuerySet
from kombu.utils.json import JSONEncoder, dumps

from myproject.errors import InvalidInput
from myproject.jobs.models import ID_LENGTH

#: Bytes of a job's body. A message is held by the database, the broker and a worker, and copied at each hand-over; the
#: largest call of the shop (an id and two words) has 200 bytes, and 256 KiB hold 10,000 ids.
LARGEST_BODY = 262_144

#: `dumps` makes an encoder for each call, which is half of what this one takes.
_encode = JSONEncoder(separators=(",", ":")).encode

EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class PayloadRefused(InvalidInput, TypeError):
    """The arguments of a durable task cannot be promised. Read by whoever wrote the call; nothing was sent."""

    code = "payload_refused"
    reader = "developer"


def check_id(task_id: object) -> str:
    """Return the task id. Any text will do that is not empty and not longer than the column."""
    if not isinstance(task_id, str) or not 0 < len(task_id) <= ID_LENGTH:
        message = f"task_id: read {str(task_id)[:60]!r}; allowed is a text of 1 to {ID_LENGTH} characters."
        raise PayloadRefused(message, field="task_id")
    return task_id


def encode(task: str, body: tuple[Any, Any, Any]) -> str:
    """Return the body of a job, [args, kwargs, embed], as JSON. Raises PayloadRefused and names the argument."""
    try:
        text: str = _encode(body)
    except (TypeError, ValueError, RecursionError) as error:
        where, value = _find(body[0], body[1])
        if isinstance(value, Model):
            advice = (
                f"{where} is an instance of {type(value).__name__}: pass its primary key, and read the row in the task"
            )
        elif isinstance(value, QuerySet):
            advice = f"{where} is a queryset: pass a list of primary keys"
        else:
            advice = f"{where} is not JSON ({error}): pass numbers, texts, lists and objects"
        raise PayloadRefused(f"{task}: {advice}, or declare the task durable=False.", field=where) from error
    if len(text) > LARGEST_BODY:
        raise PayloadRefused(
            f"{task}: the arguments take {len(text):,} bytes and a job holds {LARGEST_BODY:,}: store the data"
            " (myproject.jobs.storage.store) and pass the reference.",
            field="args",
        )
    return text


def _find(args: Any, kwargs: Any) -> tuple[str, Any]:
    """Return the name and the value of the first argument that is not JSON."""
    named = [(f"argument {number}", value) for number, value in enumerate(args or (), 1)]
    for name, value in [*named, *((f"argument {key}", value) for key, value in (kwargs or {}).items())]:
        try:
            dumps(value)
        except (TypeError, ValueError, RecursionError):
            return _inner(name, value)
    return "an option", None


def _inner(name: str, value: Any) -> tuple[str, Any]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, inner in items:
        try:
            dumps(inner)
        except (TypeError, ValueError):
            return _inner(f"{name}[{key!r}]", inner)
        except RecursionError:
            return name, None
    return name, value
