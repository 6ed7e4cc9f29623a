"""The site of a world, as a process: makes intents on command, one transaction each, as requests do.

Started as `python -m tests.faults.producer`. Commands and answers are lines of JSON; each command runs in a thread of
its own, so that a load goes on while a row does its harm. `tests.faults.load` speaks to it.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django

django.setup()

from celery import chain, chord, current_app  # noqa: E402
from django.db import DatabaseError, connection, transaction  # noqa: E402
from kombu.exceptions import OperationalError  # noqa: E402

from tests.faults.shop import tasks  # noqa: E402
from tests.faults.shop.models import Intent  # noqa: E402

STOCK = os.environ["DJANGO_SETTINGS_MODULE"] == "tests.faults.stock_settings"
if STOCK:
    import tests.faults.stock  # noqa: F401

#: What one intent does with its transaction, and how many of a hundred do so.
SHAPES = {"plain": 64, "rolled back": 10, "in a savepoint": 8, "savepoint rolled back": 8, "countdown": 10}
_writing = threading.Lock()


class _Refusal(Exception):
    """Rolls a transaction back on purpose."""


def send(task: Any, *args: Any, **options: Any) -> None:
    """Send a task from within a transaction, in the way that is right for what runs here."""
    if STOCK:
        transaction.on_commit(partial(task.apply_async, args=args, **options))
    else:
        task.apply_async(args=args, **options)


def promise(key: str, kind: str, *, times: int = 1, **options: Any) -> None:
    """Write an intent and send the task that keeps it."""
    Intent.objects.create(key=key, kind=kind)
    for _ in range(times):
        send(getattr(tasks, kind), key, **options)


def make(shape: str, key: str, kind: str, chooser: random.Random) -> None:
    """Make one intent in one of the SHAPES."""
    with transaction.atomic():
        if shape == "rolled back":
            promise(key, kind)
            raise _Refusal
        if shape == "savepoint rolled back":
            try:
                with transaction.atomic():
                    promise(f"{key}-undone", kind)
                    raise _Refusal
            except _Refusal:
                promise(key, kind)
        elif shape == "in a savepoint":
            with transaction.atomic():
                promise(key, kind)
        elif shape == "countdown":
            promise(key, kind, countdown=chooser.uniform(0.3, 1.5))
        else:
            promise(key, kind)


def load(*, prefix: str, seed: int, count: int, pause: float, kinds: dict[str, int], stop: str) -> dict[str, Any]:
    """Make `count` intents, or as many as fit until the file `stop` exists; errors are kept, not raised."""
    chooser = random.Random(seed)
    made, errors, slowest = 0, [], 0.0
    while made < count and not (stop and os.path.exists(stop)):
        [shape] = chooser.choices(list(SHAPES), list(SHAPES.values()))
        [kind] = chooser.choices(list(kinds), list(kinds.values()))
        began = time.monotonic()
        try:
            make(shape, f"{prefix}{made}", kind, chooser)
        except _Refusal:
            pass
        except (DatabaseError, OperationalError, OSError) as error:
            errors.append(f"{type(error).__name__}: {str(error)[:120]}")
            connection.close_if_unusable_or_obsolete()
        slowest = max(slowest, time.monotonic() - began)
        made += 1
        if pause:
            time.sleep(chooser.uniform(0, 2 * pause))
    return {"made": made, "errors": errors, "slowest": slowest}


def call(*, task: str, keys: list[str], args: list[Any], owes: bool, options: dict[str, Any]) -> dict[str, Any]:
    """Send one task for each key; with `owes` an intent stands beside it. All in one transaction."""
    ids: list[str] = []
    with transaction.atomic():
        for key in keys:
            if owes:
                Intent.objects.create(key=key, kind=task)
            if STOCK:
                send(getattr(tasks, task), key, *args, **options)
            else:
                ids.append(getattr(tasks, task).apply_async(args=[key, *args], **options).id)
    return {"ids": ids}


def flow(*, shape: str, key: str, size: int, gate: str) -> dict[str, Any]:
    """Send one chord or chain of `size` parts; each part and the body is an intent."""
    owed = [f"{key}/{number}" for number in range(size)]
    with transaction.atomic():
        if shape == "chord":
            header = [
                tasks.gated_part.s(part, number, gate) if gate else tasks.part.s(part, number)
                for number, part in enumerate(owed)
            ]
            owed.append(f"{key}/body")
            start: Callable[[], Any] = partial(chord(header), tasks.join.s(key=f"{key}/body"))
        else:
            links = [tasks.step.s(None, owed[0], 0)]
            links += [tasks.step.s(part, number) for number, part in enumerate(owed) if number]
            start = chain(*links).apply_async
        for one in owed:
            Intent.objects.create(key=one, kind="record")
        if STOCK:
            transaction.on_commit(start)
        else:
            start()
    return {}


def revoke(*, ids: list[str], terminate: bool) -> dict[str, Any]:
    """Revoke tasks in the way that Celery's users do."""
    for task_id in ids:
        current_app.control.revoke(task_id, terminate=terminate)
    return {}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {"load": load, "call": call, "flow": flow, "revoke": revoke}


def answer(number: int, name: str, options: dict[str, Any]) -> None:
    """Run one command and write its answer."""
    try:
        found = COMMANDS[name](**options)
    except BaseException as error:
        found = {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
    finally:
        connection.close()
    with _writing:
        print(json.dumps({"number": number, **found}), flush=True)


def main() -> None:
    """Answer commands until the input ends."""
    threads = []
    print(json.dumps({"number": 0}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        threads.append(
            threading.Thread(target=answer, args=(command["number"], command["name"], command["options"]), daemon=True)
        )
        threads[-1].start()
    for thread in threads:
        thread.join(5)


if __name__ == "__main__":
    main()
