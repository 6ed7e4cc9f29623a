"""Keys of jobs, from their arguments: business keys to find them by, unique keys, and concurrency keys."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

from kombu.utils.json import dumps

from myproject.jobs import ledger
from myproject.jobs.ledger import NewJob
from myproject.jobs.models import ConcurrencySlot, UniqueKey
from myproject.jobs.statements import dialect
from myproject.jobs.states import OPEN, JobState

#: The longest key that is kept as it is; a longer one keeps its beginning and gets a digest.
LONGEST = 191


def arguments(task: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments of a call by name, defaults included. A bound task's `self` is not one of them."""
    signature = inspect.signature(task.run)
    bound = signature.bind_partial(*(args or ()), **(kwargs or {}))
    bound.apply_defaults()
    return dict(bound.arguments)


def _key(task: Any, names: Any, args: Any, kwargs: Any) -> str:
    found = arguments(task, args, kwargs)
    values = found if names is True else {name: found.get(name) for name in names}
    text = f"{task.name}:{dumps(values, sort_keys=True)}"
    if len(text) <= LONGEST:
        return text
    return f"{text[:120]}:{hashlib.sha256(text.encode()).hexdigest()}"


def unique_key(task: Any, *, args: Any, kwargs: Any) -> str | None:
    """Return the key of which at most one job is open; None when the task is not unique."""
    return _key(task, task.unique, args, kwargs) if task.unique else None


def concurrency_key(task: Any, *, args: Any, kwargs: Any) -> str | None:
    """Return the key of which at most one job runs; None when the task does not say."""
    return _key(task, task.concurrency_key, args, kwargs) if task.concurrency_key else None


def business_keys(task: Any, *, args: Any, kwargs: Any) -> tuple[tuple[str, str], ...]:
    """Return what people may search a job by: pairs of name and value."""
    if not task.business_keys:
        return ()
    found = arguments(task, args, kwargs)
    values = ((name, _value(found, argument)) for name, argument in task.business_keys.items())
    return tuple((name, str(value)[:LONGEST]) for name, value in values if value is not None)


def _value(found: dict[str, Any], argument: str) -> Any:
    """Return an argument's value, or with `argument.field` one field of an object: what a chain hands on is one."""
    name, _, field = argument.partition(".")
    value = found.get(name)
    if not field:
        return value
    return value.get(field) if isinstance(value, dict) else None


def take_unique(task: Any, job: NewJob, *, args: Any, kwargs: Any) -> str:
    """Take the unique key of a call for `job`. Return the id of the job that stands for it.

    Another transaction that takes the same key waits until this one ends, so that of two one is first. What an open
    job with that key makes of the call is the task's policy: `skip` lets it stand, `replace` cancels it if it has not
    begun, `extend` lets it stand and moves its time to the call's. Nobody waits for a job that is running.
    """
    key = unique_key(task, args=args, kwargs=kwargs)
    if key is None:
        return job.id
    ledger.execute(dialect().take_key, (key, job.id))
    ((holder,),) = ledger.fetch(f"SELECT job_id FROM jobs_uniquekey WHERE `key`=%s{dialect().lock}", (key,))
    if holder == job.id:
        return job.id
    locked = ledger.lock_patiently(holder) if task.unique_policy != "skip" else None
    row = locked or ledger.read(holder)
    if row is None or row.state not in (*OPEN, JobState.REPLACED):
        _give(key, job.id)  # its job is closed, and the closing process died before it released the key
        return job.id
    if locked is None:
        return str(holder)
    if task.unique_policy == "extend":
        ledger.postpone(holder, seconds=job.delay or 0.0)
    if task.unique_policy != "replace" or not ledger.cancel_waiting(holder, retention=task.retention):
        return str(holder)
    ledger.record(holder, ledger.EventKind.CANCELLED, epoch=row.epoch, attempts=row.attempts, error="replaced")
    _give(key, job.id)
    return job.id


def _give(key: str, task_id: str) -> None:
    UniqueKey.objects.filter(key=key).update(job_id=task_id)


def release_unique(task_id: str) -> None:
    """Give the unique key of a closed job free, in the transaction that closes it."""
    UniqueKey.objects.filter(job_id=task_id).delete()


def provide(key: str) -> None:
    """Have a row for a concurrency key, committed before a job takes its place: the next job would wait for its end."""
    if not ledger.fetch("SELECT 1 FROM jobs_concurrencyslot WHERE `key`=%s", (key,)):
        ledger.execute(f"{dialect().insert_new} jobs_concurrencyslot (`key`) VALUES (%s)", (key,))


def enter(key: str, task_id: str, *, seconds: float) -> bool:
    """Take the place of the one running job of `key`: until the transaction ends, and for `seconds` in lease mode.

    `seconds` is 0 in transaction mode, where the row's lock is the place. False: another job has it.
    """
    sql = dialect()
    free = f"(job_id IS NULL OR job_id=%s OR until<{sql.now})"
    if not ledger.fetch(f"SELECT 1 FROM jobs_concurrencyslot WHERE `key`=%s AND {free}{sql.skip}", (key, task_id)):
        return False
    if seconds:
        change = f"UPDATE jobs_concurrencyslot SET job_id=%s, until={sql.later} WHERE `key`=%s"
        ledger.execute(change, (task_id, seconds, key))
    return True


def leave(key: str, task_id: str) -> None:
    """Give the place of the one running job free."""
    ConcurrencySlot.objects.filter(key=key, job_id=task_id).update(job_id=None, until=None)
