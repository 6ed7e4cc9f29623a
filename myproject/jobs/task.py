"""The class of every task: durable unless it says `durable=False`.

A durable task is called, retried, replaced and chained as any Celery task. What it declares beside Celery's options:

- `mode`: "transaction" (effects only in the database: the body is one transaction, exactly once) or "lease" (the body
  calls the outside world, and commits as it goes).
- `lease`: seconds for which a lease-mode job is this process's unless renewed; a thread renews it while the body runs.
- `on_unknown`: what happens to a lease-mode job whose process died or was frozen: "resend" (the receiver knows the
  key, or once more does no harm), "lookup" (`look_up` says whether it happened, then the body runs or not), "park".
- `look_up`: function of the task's arguments that returns a `LookupResult`; for on_unknown="lookup".
- `business_keys`: {"order": "order_id"}: names under which people find the job, each with the argument that holds it.
- `unique`: names of the arguments that make the key, or True for all: at most one open job per key; `unique_policy`:
  "skip", "replace" or "extend".
- `concurrency_key`: names of the arguments that make the key of which one job runs at a time.
- `max_attempts`: deaths of its process after which a job is parked.
- `retention`: seconds for which the outcome is kept.

Contradictions stop the start: `checks.py`.
"""

from __future__ import annotations

import inspect
import random
from typing import Any

from celery import Task
from celery._state import get_current_worker_task
from celery.exceptions import Ignore, Reject
from celery.result import EagerResult
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from kombu.utils.json import loads

from myproject.errors import OutageError, UnknownOutcomeError
from myproject.jobs import running
from myproject.jobs.amqp import sparse_headers, write
from myproject.jobs.chords import with_results
from myproject.jobs.controls import killed
from myproject.jobs.eager import is_eager
from myproject.jobs.errors import OutcomeUnknown
from myproject.jobs.ledger import NewJob
from myproject.jobs.payload import EMBED, encode
from myproject.jobs.task_ids import new_id

#: Seconds for which an outcome is kept: whoever asked for it comes back the same day. Parked jobs stay until somebody
#: decides about them.
RETENTION = 86_400
#: Tries after errors that a class says may pass, where a task declares no `max_retries`: with the pauses below they
#: span five minutes.
PATIENT_TRIES = 10
LONGEST_PAUSE = 60.0


#: Celery's task class. The types that are about for it are of another version.
Base: Any = Task


class DurableTask(Base):
    """A task whose call is a promise. See the module for what it may declare."""

    abstract = True
    durable = True
    mode = "transaction"
    lease = 10.0
    on_unknown: str | None = None
    look_up: Any = None
    business_keys: dict[str, str] | None = None
    unique: tuple[str, ...] | bool | None = None
    unique_policy = "skip"
    concurrency_key: tuple[str, ...] | None = None
    max_attempts = 3
    retention: float = RETENTION

    _route: tuple[str, int] | None = None

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Set what follows from the declaration: deaths of a durable task are counted by its row."""
        cls.declares_keys = bool(cls.unique or cls.business_keys)
        if cls.durable:
            cls.retry_on_worker_lost = False
        if inspect.isfunction(cls.__dict__.get("look_up")):
            cls.look_up = staticmethod(cls.look_up)  # it takes the task's arguments, not the task

    # --- sending

    def apply_async(
        self, args: Any = None, kwargs: Any = None, task_id: str | None = None, producer: Any = None,
        link: Any = None, link_error: Any = None, shadow: str | None = None, **options: Any,
    ) -> Any:  # fmt: skip
        """Promise the task: its row is written in the caller's transaction, its message published on commit.

        Takes what Celery's `apply_async` takes. Raises PayloadRefused for what cannot be promised, TypeError for
        arguments that do not fit.
        """
        if is_eager(self.app):
            return self._apply_eagerly(args, kwargs, task_id, producer, link, link_error, shadow, options)
        if not self.durable or task_id or link or link_error or shadow or not self._is_plain(options):
            return super().apply_async(
                args, kwargs, task_id=task_id or (new_id() if self.durable else None), producer=producer, link=link,
                link_error=link_error, shadow=shadow, **options,
            )  # fmt: skip
        parent = get_current_worker_task()
        if parent is not None and parent.request.stamped_headers:
            return super().apply_async(args, kwargs, task_id=new_id(), producer=producer, **options)
        if self.typing:
            self.__header__(*(args or ()), **(kwargs or {}))
        return self._promise(args or (), kwargs or {}, parent=parent, producer=producer, **options)

    def _is_plain(self, options: dict[str, Any]) -> bool:
        """Tell whether a call can take the short way, which knows of queue, priority and a countdown only."""
        if not all(name in ("queue", "priority", "countdown") for name in options):
            return False
        own = type(self)
        return own.shadow_name is Base.shadow_name and self._dump_pydantic_arguments is None

    def _promise(
        self, args: Any, kwargs: Any, *, parent: Any, producer: Any, queue: Any = None, priority: int | None = None,
        countdown: float | None = None,
    ) -> Any:  # fmt: skip
        if self._route is None:
            type(self)._route = self._find_route()
        usual_queue, usual_priority = self._route  # type: ignore[misc]  # it was just set
        job = NewJob(
            id=new_id(),
            app=self.app.main,
            task=self.name,
            queue=getattr(queue, "name", queue) or usual_queue,
            priority=usual_priority if priority is None else priority,
            body=encode(self.name, (args, kwargs, EMBED)),
            headers=sparse_headers(self, {}),
            root_id=(parent.request.root_id or parent.request.id) if parent is not None else None,
            parent_id=parent.request.id if parent is not None else None,
            delay=countdown if countdown and countdown > 0 else None,
        )
        result = self.AsyncResult(write(self.app, job, args=args, kwargs=kwargs, producer=producer, fresh=True))
        result.ignored = self.ignore_result
        if parent is not None:
            parent.add_trail(result)
        return result

    def _find_route(self) -> tuple[str, int]:
        """Ask Celery's router and the task's own options, once: each look at the configuration costs 18 us."""
        own = {name: value for name, value in self._get_exec_options().items() if name in ("queue", "priority")}
        found = self.app.amqp.router.route(own, self.name, (), {}, self)
        queue = getattr(found.get("queue"), "name", found.get("queue")) or self.app.conf.task_default_queue
        priority = found.get("priority")
        return queue, (self.app.conf.task_default_priority or 0) if priority is None else priority

    def _apply_eagerly(self, args: Any, kwargs: Any, task_id: Any, producer: Any, link: Any, link_error: Any,
                       shadow: Any, options: dict[str, Any]) -> Any:  # fmt: skip
        """Run the task in this process: at once, or when the caller's transaction commits."""
        if self.durable:
            args, kwargs, _ = loads(encode(self.name, (args or (), kwargs or {}, EMBED)))
        given = {"task_id": task_id or new_id(), "producer": producer, "link": link, "link_error": link_error}

        def apply() -> Any:
            return super(DurableTask, self).apply_async(args, kwargs, shadow=shadow, **given, **options)

        blocks = connections[DEFAULT_DB_ALIAS].atomic_blocks
        if not self.durable or not any(not getattr(block, "_from_testcase", False) for block in blocks):
            return apply()
        result: Any = EagerResult(given["task_id"], None, "PENDING", name=self.name)

        def run() -> None:
            done = apply()
            result._state, result._result, result._traceback = done.state, done.result, done.traceback

        transaction.on_commit(run)
        return result

    # --- running

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body: as a plain function when it is called as one, as a job when a message asks for it."""
        request = self.request
        if request.called_directly or request.get("job_entered"):
            return super().__call__(*args, **kwargs)
        request.job_entered = True
        args = tuple(with_results(args))
        if not self.durable:
            hold = killed(self.name)
            if hold is not None:
                raise Ignore(str(hold))
            return self.run(*args, **kwargs)
        if request.is_eager:
            if self.mode == "lease":
                return self.run(*args, **kwargs)
            with transaction.atomic():
                return self.run(*args, **kwargs)
        return running.run(self, request, args, kwargs)

    def retry(self, *args: Any, **options: Any) -> Any:
        """Ask for the task to run again; the other side's wish (`RetryableError.retry_after`) wins over a backoff.

        Of a job whose outcome is not known `on_unknown` decides, whoever asks: the body, `autoretry_for`, its class.
        """
        error = options.get("exc")
        if self.request.get("job_execution") is not None:
            if isinstance(error, OutageError):
                raise running.wait_for_other_side(error)
            unknown = isinstance(error, UnknownOutcomeError)
            if unknown and self.on_unknown == "park":
                raise OutcomeUnknown(f"The outcome is not known: {error}") from error
            if unknown or self.request.job_execution.unknown:
                headers = options.get("headers") or self.request.headers or {}
                options["headers"] = {**headers, "job_unknown": True}
        asked = getattr(error, "retry_after", None)
        if asked is not None:
            options["countdown"] = asked
        try:
            return super().retry(*args, **options)
        except Reject as refused:  # Celery's word for a retry that could not be sent, whatever the reason
            reason = getattr(refused, "reason", None)
            if isinstance(reason, Exception):
                raise reason from None
            raise

    def patience(self, error: Exception) -> dict[str, Any]:
        """Return the options of a retry after an error whose class says that it may pass."""
        retries = self.request.retries or 0
        pause = min(LONGEST_PAUSE, 2.0**retries) * random.uniform(0.5, 1.0)
        declared = "max_retries" in type(self).__dict__
        return {"countdown": pause, "max_retries": self.max_retries if declared else PATIENT_TRIES}

    def on_replace(self, sig: Any) -> Any:
        """Note that another task takes this one's id over, as `running.py` asks after the body."""
        self.request.job_replaced = True
        return super().on_replace(sig)
