"""Where every way of sending a task ends: the message becomes a job's row in the caller's transaction.

`delay`, `apply_async`, `send_task`, canvas, `retry`, `replace`, beat, admin: all of them end in
`AMQP.send_task_message` with a complete message and an untouched broker (Celery 5.7: celery.app.base.Celery.send_task,
which acquires its producer lazily). `Celery(amqp=...)` is the public seam. `DurableTask.apply_async` has a shorter way
for plain calls; it ends in `write`, too.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from celery import _state
from celery.app.amqp import AMQP
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections, transaction
from kombu.utils.json import dumps
from kombu.utils.objects import cached_property

from myproject.jobs import keys, ledger, task_ids
from myproject.jobs.aliases import resolve
from myproject.jobs.controls import held
from myproject.jobs.failpoints import hit
from myproject.jobs.ledger import NewJob
from myproject.jobs.on_commit import promise_on_commit, publish_on_commit
from myproject.jobs.payload import PayloadRefused, check_id, encode
from myproject.jobs.publishing import REDACTED, hint_of
from myproject.jobs.states import JobState

logger = structlog.get_logger(__name__)

#: Headers that are columns of the row, that a task always has, or that belong to one message and not to the job.
_COLUMNS = frozenset(
    (
        *("lang", "task", "id", "root_id", "parent_id", "group", "argsrepr", "kwargsrepr", "origin", "eta"),
        *("job_epoch", "job_delivery", "job_at"),
    )
)
#: Options of publishing that the row has columns for, or that only concern the first try.
_PLAIN = frozenset(
    ("queue", "priority", "serializer", "retry", "retry_policy", "event_dispatcher", "declare", "timeout")
)
#: Options that the durable way gives a meaning of its own: an expired job is closed by the worker, with its state.
_DROPPED = frozenset(("expiration", "confirm_timeout"))

#: Tasks of Celery's own that are no steps of anybody's workflow, as `celery.map` and `celery.accumulate` are.
_HOUSEKEEPING = frozenset(("celery.backend_cleanup", "celery.chord_unlock"))


#: Celery's own. The types that are about for it are of another version.
Base: Any = AMQP


class DurableAMQP(Base):
    """Celery's messages, written to the database first unless their task is best effort."""

    @cached_property
    def publish_now(self) -> Any:
        """Celery's own sender, which publishes at once."""
        return self._create_task_sender()

    def as_task_v2(self, *args: Any, **kwargs: Any) -> Any:
        """Build a message that does not repeat its arguments in its headers, where logs and Flower show them."""
        if kwargs.get("argsrepr") is None:
            kwargs["argsrepr"] = REDACTED
        if kwargs.get("kwargsrepr") is None:
            kwargs["kwargsrepr"] = REDACTED
        return super().as_task_v2(*args, **kwargs)

    @property
    def create_task_message(self) -> Any:
        """The builder of messages; protocol 2 is the only one that carries what a job needs."""
        return self.as_task_v2

    def send_task_message(self, producer: Any, name: str, message: Any, **options: Any) -> Any:
        """Write the message as a job and publish it on commit; publish it at once when its task is best effort."""
        task = self.app.tasks.get(name)
        if name not in _HOUSEKEEPING and (task is None or getattr(task, "durable", True)):
            return store(self.app, name, message, options, producer=producer)
        if not connections[DEFAULT_DB_ALIAS].in_atomic_block:
            return self._send_best_effort(producer, name, message, options)
        # The broker is another machine: nobody holds a transaction open for it, and what is rolled back is not sent.
        transaction.on_commit(partial(self._send_best_effort, None, name, message, options), robust=True)
        return None

    def _send_best_effort(self, producer: Any, name: str, message: Any, options: dict[str, Any]) -> Any:
        with self.app.producer_or_acquire(producer) as acquired:
            if not message.headers.get("ignore_result"):
                self.app.backend.on_best_effort_call(acquired, message.headers["id"])
            message.headers["job_at"] = time.time_ns() // 1_000_000  # the relay asks how old a list's oldest message is
            return self.publish_now(acquired, name, message, **options)


def store(app: Any, name: str, message: Any, options: dict[str, Any], *, producer: Any) -> None:
    """Write a complete message as a job: a new one, or the next life of the one that is running."""
    headers, _properties, body, _sent = message
    custom = options.pop("headers", None) or {}
    headers = {**headers, **custom, "retries": headers["retries"]}
    task_id = check_id(headers["id"])
    if options.get("serializer") not in (None, "json"):
        raise PayloadRefused(
            f"{name}: serializer {options['serializer']!r} is for best-effort tasks (durable=False); jobs are JSON.",
            field="serializer",
        )
    queue, rest = _place(app, options)
    job = NewJob(
        id=task_id,
        app=app.main,
        task=name,
        queue=queue,
        priority=options.get("priority") or 0,
        body=encode(name, body),
        headers=sparse_headers(app.tasks.get(name), headers),
        options=dumps(rest) if rest else None,
        root_id=headers["root_id"] if headers["root_id"] != task_id else None,
        parent_id=headers["parent_id"],
        group_id=headers["group"],
        delay=_delay(headers.get("eta")),
    )
    current = _state.get_current_task()
    request = current.request if current is not None else None
    if request is not None and request.id == task_id and not request.called_directly:
        return _next_life(app, job, request)
    write(app, job, args=body[0], kwargs=body[1], producer=producer)
    return None


def _place(app: Any, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the queue of a message, and the options that the row has no column for."""
    queue, exchange, routing_key = (options.get(name) for name in ("queue", "exchange", "routing_key"))
    rest = {
        name: value
        for name, value in options.items()
        if value is not None and name not in _PLAIN and name not in _DROPPED
    }
    if queue is not None:
        name = getattr(queue, "name", queue)
        if exchange is None or getattr(exchange, "name", exchange) in ("", name):
            _drop(rest)  # they are the queue's own
    else:
        name = next((known for known, found in app.amqp.queues.items() if found.routing_key == routing_key), None)
        name = name or routing_key or app.conf.task_default_queue
        if exchange in (None, "") or (name in app.amqp.queues and app.amqp.queues[name].routing_key == routing_key):
            _drop(rest)
    for key in ("exchange", "routing_key"):
        if key in rest:
            rest[key] = getattr(rest[key], "name", rest[key])
    if rest.get("exchange_type") in ("direct", None):
        rest.pop("exchange_type", None)
    return name, rest


def _drop(rest: dict[str, Any]) -> None:
    rest.pop("exchange", None)
    rest.pop("routing_key", None)


def sparse_headers(task: Any, headers: dict[str, Any]) -> str | None:
    """Return, as JSON, the headers that this job has and others of its task have not."""
    usual = {
        "shadow": None,
        "retries": 0,
        "replaced_task_nesting": 0,
        "timelimit": [getattr(task, "time_limit", None), getattr(task, "soft_time_limit", None)],
        "ignore_result": getattr(task, "ignore_result", False),
    }
    found = {}
    for key, value in headers.items():
        if key in _COLUMNS or value is None or value == usual.get(key, ()) or value in ([], {}):
            continue
        if key == "timelimit" and value == [None, None]:
            continue  # the task's own limits hold
        found[key] = value
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    if request_id:
        found.setdefault("request_id", request_id)
    return dumps(found, separators=(",", ":")) if found else None


def _delay(eta: Any) -> float | None:
    """Return the seconds until `eta`, by this host's clock; None when it has come. The database counts them down."""
    if not eta:
        return None
    moment = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - datetime.now(UTC)).total_seconds()
    return seconds if seconds > 0 else None


def write(app: Any, job: NewJob, *, args: Any, kwargs: Any, producer: Any = None, fresh: bool = False) -> str:
    """Insert a job with its keys and publish it on commit. Return the id of the job that stands for the call.

    That is another one's when the task is unique and an open job has its key. `fresh` says that the id was made for
    this call, so that no other job can have it.
    """
    task = app.tasks.get(resolve(job.task))
    if getattr(task, "declares_keys", False):
        if not connections[DEFAULT_DB_ALIAS].in_atomic_block:  # a job and its keys are there, or none of them
            with transaction.atomic():
                return write(app, job, args=args, kwargs=kwargs, fresh=fresh)
        standing = keys.take_unique(task, job, args=args, kwargs=kwargs)
        if standing != job.id:
            return standing
        job = replace(job, keys=keys.business_keys(task, args=args, kwargs=kwargs))
    # The INSERT of an id whose job runs would wait for its end. Ids that callers choose may exist; ours are new.
    if len(job.id) != task_ids.LENGTH and _is_known(app, job):
        return job.id
    hold = held(app, job.task, job.queue)
    if hold is not None and job.delay is None:
        job = replace(job, delay=0.0)
    hit("insert.before")
    rides = fresh and job.delay is None and connections[DEFAULT_DB_ALIAS].in_atomic_block
    if rides:
        promise_on_commit(app, job)
    else:
        try:
            ledger.insert(job)
        except IntegrityError:  # one statement is undone, not the transaction: MySQL, MariaDB and SQLite all do so
            if not _is_known(app, job):
                raise
            return job.id
    hit("insert.after")
    if job.delay is None and not rides:
        publish_on_commit(app, [job], producer=producer)
    return job.id


def _is_known(app: Any, job: NewJob) -> bool:
    """Handle an id that exists; the first promise stands, with two exceptions that take its row over.

    They are the last task of a replacement, and one that an earlier failure of its workflow kept from being sent: its
    row has an outcome and no body, and the step that failed has been retried since.
    """
    row = ledger.read(job.id)
    if row is None:
        return False
    never_sent = row.state == JobState.CANCELLED and not row.body
    if row.state != JobState.REPLACED and not never_sent:
        logger.info("a job of that id exists, and the first one stands", task=job.task, task_id=job.id)
        return True
    if ledger.rearm(job, epoch=row.epoch, state=JobState(row.state)) and job.delay is None:
        publish_on_commit(app, [hint_of(job, epoch=row.epoch + 1)])
    return True


def _next_life(app: Any, job: NewJob, request: Any) -> None:
    """Write the retry or the replacement of the job that is running, under its own id."""
    execution = request.get("job_execution")
    state = execution.state if execution is not None else JobState.QUEUED
    token = execution.token if execution is not None else 0
    epoch = request.get("job_epoch") or 0
    meta = dumps({"status": "RETRY", "result": None}) if '"retries"' in (job.headers or "") else None
    if not ledger.rearm(job, epoch=epoch, state=state, token=token, meta=meta):
        logger.warning("a job moved on without this process; its next life is not written", task_id=job.id)
        return
    request.job_rearmed = True
    if job.delay is None:
        publish_on_commit(app, [hint_of(job, epoch=epoch + 1)])
    hit("rearm.after")
