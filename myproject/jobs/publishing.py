"""Publishing the messages of jobs, whose rows are committed already: a message that is lost here is only late.

On Redis a message is written as kombu writes it, but many at a time: one LPUSH per list and one round trip for all of
them, over one raw connection per thread. kombu's producer pool (25 us), its new client per command (47 us) and the
pool of redis-py (23 us) each cost about as much as the LPUSH itself (31 us). Any other broker, and a message with
unusual options, goes through Celery's own sender. Source of the format: kombu.transport.virtual and .redis, 5.7.
"""

from __future__ import annotations

import json
import os
import threading
import time
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quote
from typing import Any

import redis
import structlog
from celery import Celery, signals
from celery.app.amqp import task_message
from kombu.exceptions import OperationalError
from kombu.utils.json import loads

from myproject.jobs.failpoints import hit
from myproject.jobs.ledger import NewJob, Row
from myproject.jobs.task_ids import new_id

logger = structlog.get_logger(__name__)

#: Seconds: a broker that answers does so in milliseconds, and the row waits for one that does not.
CONNECT_TIMEOUT = 0.5
ANSWER_TIMEOUT = 2.0
#: Seconds for which a thread sends on without looking for answers: a look costs 20 us, and within 5 ms a broker that
#: went away is no news.
SETTLE = 0.005
#: Seconds that nothing is tried after a failure, doubling up to the last: a dead broker costs a request one try.
BREAKER_PAUSES = (0.5, 1.0, 2.0, 4.0)
#: What stands in a message where Celery would show the arguments to logs, events and Flower.
REDACTED = "[redacted]"
#: Headers that no two messages share: the template of a task's headers leaves them out.
_OF_ONE_MESSAGE = frozenset(["id", "root_id", "parent_id", "group", "eta", "job_epoch", "job_delivery", "job_at"])


class BrokerUnavailable(OperationalError):
    """The broker did not take the messages, or is left alone for a while. The relay publishes them from their rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A message to publish: the job's columns, and how often the relay published it before (`delivery`)."""

    id: str
    task: str
    queue: str
    priority: int
    epoch: int
    delivery: int
    body: str
    headers: str | None = None
    options: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None


#: What can be published. The first message of a new job needs no copy of its columns.
Message = Hint | NewJob


def hint_of(job: Row | NewJob, *, epoch: int, delivery: int = 0) -> Hint:
    """Return the message of a job's row, or of one that is being written."""
    return Hint(
        id=job.id, task=job.task, queue=job.queue, priority=job.priority, epoch=epoch, delivery=delivery,
        body=job.body, headers=job.headers, options=job.options, root_id=job.root_id, parent_id=job.parent_id,
        group_id=job.group_id,
    )  # fmt: skip


class Breaker:
    """Keeps a process away from a broker that just failed."""

    def __init__(self) -> None:
        self.failures = 0
        self.closed_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the broker is left alone at this moment."""
        return time.monotonic() < self.closed_at

    def fail(self) -> None:
        """Note a failure."""
        self.closed_at = time.monotonic() + BREAKER_PAUSES[min(self.failures, len(BREAKER_PAUSES) - 1)]
        self.failures += 1

    def succeed(self) -> None:
        """Note that the broker answered."""
        self.failures, self.closed_at = 0, 0.0


class Publisher:
    """Publishes for one app in one process."""

    def __init__(self, app: Celery) -> None:
        self.app: Any = app  # the types that are about for Celery are of another version
        self.pid = os.getpid()
        self.breaker = Breaker()
        self._templates: dict[str, dict[str, Any]] = {}
        self._texts: dict[str, str] = {}
        self._local = threading.local()
        self._lists: dict[tuple[str, int], str] = {}
        self._pool: Any = None
        self.is_redis = str(app.conf.broker_write_url).partition(":")[0] in ("redis", "rediss", "sentinel")

    # --- messages

    def headers(self, hint: Message) -> dict[str, Any]:
        """Return a message's headers: what its task always has, what this job has, and ours."""
        found = self._templates.get(hint.task) or self._template(hint.task)
        own = loads(hint.headers) if hint.headers else {}
        found = {
            **found,
            **own,
            "id": hint.id,
            "root_id": hint.root_id or hint.id,
            "parent_id": hint.parent_id,
            "group": hint.group_id,
            "job_epoch": hint.epoch,
            "job_delivery": hint.delivery,
            "job_at": time.time_ns() // 1_000_000,
        }
        found["eta"] = None  # the row kept the time; a message with an eta would wait a second time, in a worker
        return found

    def _template(self, name: str) -> dict[str, Any]:
        task = self.app.tasks.get(name)
        limits = {
            "time_limit": getattr(task, "time_limit", None),
            "soft_time_limit": getattr(task, "soft_time_limit", None),
        }
        message = self.app.amqp.as_task_v2(
            "", name, (), {}, argsrepr=REDACTED, kwargsrepr=REDACTED,
            ignore_result=getattr(task, "ignore_result", False), **limits,
        )  # fmt: skip
        self._templates[name] = dict(message.headers)
        return self._templates[name]

    def _message(self, hint: Message) -> bytes:
        """Return the message as kombu writes it: text put together, because encoding the whole costs 10 us, not 4."""
        body = b64encode(hint.body.encode()).decode("ascii")
        task_id = quote(hint.id)
        return (
            f'{{"body":"{body}","content-encoding":"utf-8","content-type":"application/json",'
            f'"headers":{self._headers_text(hint)},'
            f'"properties":{{"correlation_id":{task_id},"reply_to":"","delivery_mode":2,"delivery_info":{{"exchange":"",'
            f'"routing_key":{quote(hint.queue)}}},"priority":{hint.priority},"body_encoding":"base64",'
            f'"delivery_tag":"{new_id()}"}}}}'
        ).encode()

    def _headers_text(self, hint: Message) -> str:
        if hint.headers:
            return json.dumps(self.headers(hint), separators=(",", ":"))
        usual = self._texts.get(hint.task)
        if usual is None:
            template = self._templates.get(hint.task) or self._template(hint.task)
            kept = {name: value for name, value in template.items() if name not in _OF_ONE_MESSAGE}
            usual = self._texts[hint.task] = json.dumps(kept, separators=(",", ":"))[:-1]
        parent = quote(hint.parent_id) if hint.parent_id else "null"
        group = quote(hint.group_id) if hint.group_id else "null"
        return (
            f'{usual},"id":{quote(hint.id)},"root_id":{quote(hint.root_id or hint.id)},"parent_id":{parent},'
            f'"group":{group},"eta":null,"job_epoch":{hint.epoch},"job_delivery":{hint.delivery},'
            f'"job_at":{time.time_ns() // 1_000_000}}}'
        )

    # --- Redis

    def _open_pool(self) -> Any:
        """Return kombu's own pool of connections: it knows of TLS, sentinels, sockets, users and prefixes."""
        # By itself kombu tries for 6 s before it says that a broker is down.
        timeouts = {"socket_connect_timeout": CONNECT_TIMEOUT, "socket_timeout": ANSWER_TIMEOUT}
        options = {**self.app.conf.broker_transport_options, **timeouts, "max_retries": 0}
        connection = self.app.connection_for_write(transport_options=options)
        channel = connection.default_channel
        self._channel = channel
        self._prefix = getattr(channel, "global_keyprefix", "") or ""
        # The pool counts every connection that it ever made, and kombu allows ten: after ten reconnects it made none.
        channel.pool.max_connections = 2**31
        return channel.pool

    def connect(self) -> Any:
        """Return a new connection of its own to Redis, for whoever listens. Raises redis.RedisError when it is used."""
        if self._pool is None:
            self._pool = self._open_pool()
        connection = self._pool.make_connection()
        connection.socket_connect_timeout, connection.socket_timeout = CONNECT_TIMEOUT, ANSWER_TIMEOUT
        return connection

    @property
    def prefix(self) -> str:
        """What every key of the app begins with on Redis."""
        if self._pool is None:
            self._pool = self._open_pool()
        return self._prefix

    def list_name(self, queue: str, priority: int) -> str:
        """Return the key of the list in which messages of that priority wait."""
        name = self._lists.get((queue, priority))
        if name is None:
            if self._pool is None:
                self._pool = self._open_pool()
            name = self._lists[queue, priority] = self._prefix + self._channel._q_for_pri(queue, priority)
        return name

    def commands(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands in one round trip; return the answers. A connection that went stale is replaced once.

        Once more is safe: a message that arrives twice finds its row closed. Raises redis.RedisError.
        """
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                self._settle(connection, wait=True)
                return self._exchange(connection, commands)
            except redis.ConnectionError:
                pass
        return self._exchange(self.connect(), commands)

    def _exchange(self, connection: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._send(connection, commands)
        self._local.owed = 0
        answers: list[Any] = []
        try:
            for _ in commands:
                try:
                    answers.append(connection.read_response())
                except redis.ResponseError as error:  # the others' answers must be read all the same
                    answers.append(error)
        except BaseException:
            self._drop(connection)
            raise
        for answer in answers:
            if isinstance(answer, redis.ResponseError):
                raise answer
        return answers

    def _send(self, connection: Any, commands: Sequence[tuple[Any, ...]]) -> None:
        if connection is not getattr(self._local, "connection", None):
            self._local.connection, self._local.owed = connection, 0
        try:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        except BaseException:
            self._drop(connection)
            raise
        if not self._local.owed:
            self._local.since = time.monotonic()
        self._local.owed += len(commands)

    def _drop(self, connection: Any) -> None:
        self._local.connection, self._local.owed = None, 0
        connection.disconnect()

    def _settle(self, connection: Any, *, wait: bool = False) -> None:
        """Read the answers that this thread's earlier sends are owed: those that are there, or all of them.

        Raises redis.ConnectionError for a connection that the server has closed, redis.TimeoutError for answers that
        are overdue, and redis.ResponseError for a refusal: each is about messages that the relay will publish.
        """
        refused: redis.ResponseError | None = None
        try:
            while (wait and self._local.owed) or connection.can_read():
                if not self._local.owed:
                    raise redis.ConnectionError("the server says what nobody asked")
                try:
                    connection.read_response()
                    self.breaker.succeed()
                except redis.ResponseError as error:
                    refused = error
                self._local.owed -= 1
            if self._local.owed and time.monotonic() - self._local.since > ANSWER_TIMEOUT:
                raise redis.TimeoutError("an answer is overdue")
        except BaseException:
            self._drop(connection)
            raise
        if refused is not None and not wait:
            raise refused

    def _push(self, *commands: tuple[Any, ...]) -> None:
        """Send commands without waiting for their answers, which a later call of the thread reads.

        Waiting for them is half of what publishing costs the caller (50 of 100 us), and a broker that hangs would
        stall it. What they would tell is only whether the relay has to publish, and it finds that in the rows.
        """
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                if not self._local.owed or time.monotonic() - self._local.since > SETTLE:
                    self._settle(connection)
                return self._send(connection, commands)
            except redis.ConnectionError:
                pass
        return self._send(self.connect(), commands)

    # --- publishing

    def publish(self, hints: Iterable[Message], *, producer: Any = None, wait: bool = True) -> None:
        """Publish. Raises BrokerUnavailable when it is not certain that every message arrived.

        Without `wait`, while the broker has given no reason for doubt, that is noticed by a later call of the thread.
        """
        if self.breaker.is_open:
            raise BrokerUnavailable("The broker failed a moment ago and is left alone; the relay will publish.")
        wait = wait or self.breaker.failures > 0
        try:
            self._publish(hints, producer=producer, wait=wait)
        except (redis.RedisError, OperationalError, OSError) as error:
            self.breaker.fail()
            raise BrokerUnavailable(f"The broker did not take the messages: {type(error).__name__}") from error
        if wait:
            self.breaker.succeed()

    def _publish(self, hints: Iterable[Message], *, producer: Any, wait: bool) -> None:
        hit("publish.before")
        lists: dict[str, list[bytes]] = {}
        for hint in hints:
            if self.is_redis and not hint.options and not _has_receivers():
                lists.setdefault(self.list_name(hint.queue, hint.priority), []).append(self._message(hint))
            else:
                self._publish_slowly(hint, producer=producer)
        if lists:
            send = self.commands if wait else self._push
            send(*(("LPUSH", name, *messages) for name, messages in lists.items()))
        hit("publish.after")

    def _publish_slowly(self, hint: Message, *, producer: Any) -> None:
        headers = self.headers(hint)
        message = task_message(headers, {"correlation_id": hint.id, "reply_to": ""}, loads(hint.body), None)
        options = {"queue": hint.queue, **(loads(hint.options) if hint.options else {})}
        options = {"priority": hint.priority, "serializer": "json", "retry": False, **options}
        with self.app.producer_or_acquire(producer) as acquired:
            self.app.amqp.publish_now(acquired, hint.task, message, **options)

    def waiting(self, pairs: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, float | None]]:
        """Return, for pairs of queue and priority, how many messages wait on Redis and when the oldest was published.

        The time is in seconds since 1970, None where nothing waits or the oldest message is not a job's.
        """
        names = [self.list_name(*pair) for pair in pairs]
        answers = self.commands(*(command for name in names for command in (("LLEN", name), ("LINDEX", name, -1))))
        return {pair: (answers[2 * i], _published_at(answers[2 * i + 1])) for i, pair in enumerate(pairs)}


def _published_at(message: bytes | str | None) -> float | None:
    try:
        return float(json.loads(message)["headers"]["job_at"]) / 1000 if message else None
    except (ValueError, KeyError, TypeError):
        return None


#: Receivers of `before_task_publish` that the fast path does without: it sends the request id itself.
_OWN_RECEIVERS = len(signals.before_task_publish.receivers or ())


def _has_receivers() -> bool:
    return len(signals.before_task_publish.receivers or ()) > _OWN_RECEIVERS or bool(
        signals.after_task_publish.receivers
    )


def publisher(app: Celery) -> Publisher:
    """Return the app's publisher in this process; a forked child gets its own."""
    found: Publisher | None = app.__dict__.get("_job_publisher")
    if found is None or found.pid != os.getpid():
        found = app.__dict__["_job_publisher"] = Publisher(app)
    return found


def publish(app: Celery, hints: Sequence[Message], *, producer: Any = None, wait: bool = True) -> None:
    """Publish messages of committed jobs. Raises BrokerUnavailable; the rows are as they were."""
    publisher(app).publish(hints, producer=producer, wait=wait)


def breaker(app: Celery) -> Breaker:
    """Return the state of the app's broker as this process sees it."""
    return publisher(app).breaker


def waiting(app: Celery, pairs: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, float | None]]:
    """Return what waits on Redis; see `Publisher.waiting`."""
    return publisher(app).waiting(pairs)
