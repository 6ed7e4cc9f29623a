"""`AsyncResult.revoke()` and `app.control.revoke()`: what Celery only tells the workers of, the rows keep.

A worker remembers revoked ids in memory and forgets them when it ends. Here the rows of the jobs are cancelled first,
in the caller's transaction, so no worker has to remember anything; then the workers are told as ever, which stops a
running body (`terminate=True`) and reaches best-effort tasks. A worker that is told by somebody else, such as another
program with Celery's own client, cancels the row itself. Every way ends in `Control.broadcast`, `celery control revoke`
too. Sources: celery.app.control, celery.worker.control._revoke (Celery 5.7).
"""

from __future__ import annotations

from typing import Any

import structlog
from celery.app.control import Control as StockControl
from django.db import transaction
from kombu.exceptions import OperationalError

from myproject.jobs.models import Job
from myproject.jobs.states import JobState
from myproject.jobs.steering_sql import lock_free

logger = structlog.get_logger(__name__)

#: Ids of one statement.
PART = 500


class Control(StockControl):  # type: ignore[misc]  # Celery ships no types
    """Celery's remote control; set with `Celery(control=...)`."""

    def broadcast(self, command: str, *args: Any, **options: Any) -> Any:
        """Send a command to the workers; of `revoke`, keep first what it says of durable jobs.

        Inside a transaction the workers are told when it commits, unless a reply is asked for. A broker that is away
        is logged when the rows say everything, and raised when a process was to be stopped.
        """
        if command != "revoke":
            return super().broadcast(command, *args, **options)
        arguments = options.get("arguments") or (args[0] if args else None) or {}
        asked = arguments.get("task_id")
        ids = [asked] if isinstance(asked, str) else list(asked or ())
        terminate = bool(arguments.get("terminate"))
        with transaction.atomic():
            known = self._cancel(ids, running=terminate)

        def tell() -> Any:
            try:
                return super(Control, self).broadcast(command, *args, **options)
            except OperationalError as error:
                if terminate or options.get("reply") or known < len(ids):
                    raise
                logger.warning("revoked jobs are cancelled; the workers were not told", error=type(error).__name__)

        if transaction.get_connection().in_atomic_block and not options.get("reply"):
            transaction.on_commit(tell)
            return None
        return tell()

    def _cancel(self, ids: list[str], *, running: bool) -> int:
        """Cancel the jobs that have not begun, and with `running` those that have; return how many have a row."""
        states = [JobState.SCHEDULED, JobState.QUEUED, *([JobState.RUNNING] if running else [])]
        known = 0
        for start in range(0, len(ids), PART):
            part = ids[start : start + PART]
            rows = dict(Job.objects.filter(id__in=part).values_list("id", "state"))
            known += len(rows)
            # A row that a body holds is left: the body has begun. When its process is stopped, the worker cancels it.
            free = lock_free([task_id for task_id, state in rows.items() if state in states])
            for task_id in Job.objects.filter(id__in=free, state__in=states).values_list("id", flat=True):
                self.app.backend.mark_as_revoked(task_id, "revoked", None, True)
        return known
