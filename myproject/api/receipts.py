"""Task receipts: who asked for a task, and what its state is, told to that user only."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from celery.result import AsyncResult
from celery.states import PENDING, READY_STATES
from django.conf import settings

from myproject.accounts.models import User
from myproject.api.models import TaskReceipt
from myproject.errors import NotFound
from myproject.jobs.models import Job

#: How long a receipt is kept when its job is pruned: until then its owner is told EXPIRED, later that there is none.
KEPT_FOR = timedelta(days=90)
#: Receipts of one statement.
BATCH = 500
#: State of a task that the result backend knows nothing of any more.
EXPIRED = "EXPIRED"


def record_receipt(*, task_id: str, task_name: str, user: User, subject: str, now: datetime) -> TaskReceipt:
    """Remember that `user` started the task, so that they may ask for its state; once per task id."""
    receipt, _ = TaskReceipt.objects.get_or_create(
        task_id=task_id,
        defaults={"task_name": task_name, "user": user, "subject": subject[:64], "created_at": now},
    )
    return receipt


def read_task(*, task_id: str, user: User, now: datetime) -> dict[str, Any]:
    """Return id, name, subject and state of a task that `user` started.

    `progress` is the meta of a PROGRESS state; `error` is the class of a failure without its text, which may repeat
    arguments. A job whose outcome was pruned looks like one that never was, PENDING: once the receipt is older than
    results are kept, that is told as EXPIRED. A job that waits stays PENDING, however long. Raises NotFound for tasks
    that are not the user's.
    """
    receipt = TaskReceipt.objects.filter(task_id=task_id, user=user).first()
    if receipt is None:
        raise NotFound("There is no such task, or it is not yours to see.")
    result: AsyncResult[Any] = AsyncResult(task_id)
    state: str = result.state
    old = now - receipt.created_at > timedelta(seconds=settings.CELERY_RESULT_EXPIRES)
    if state == PENDING and old and not Job.objects.filter(id=task_id).exists():
        state = EXPIRED
    return {
        "id": task_id,
        "name": receipt.task_name,
        "subject": receipt.subject,
        "state": state,
        "ready": state == EXPIRED or state in READY_STATES,
        "progress": result.info if state == "PROGRESS" and isinstance(result.info, dict) else None,
        "error": type(result.result).__name__ if state == "FAILURE" else None,
        "created_at": receipt.created_at,
    }


def delete_old_receipts(*, now: datetime) -> int:
    """Delete receipts older than KEPT_FOR whose jobs are gone, and return how many.

    They are read by primary key, which is the order of their age; a parked job keeps its receipt.
    """
    deleted = last = 0
    while found := list(
        TaskReceipt.objects.filter(id__gt=last).order_by("id").values_list("id", "task_id", "created_at")[:BATCH]
    ):
        old = {task_id: receipt_id for receipt_id, task_id, created_at in found if created_at < now - KEPT_FOR}
        for task_id in Job.objects.filter(id__in=old).values_list("id", flat=True):
            del old[task_id]
        deleted += TaskReceipt.objects.filter(id__in=old.values()).delete()[0]
        last = found[-1][0]
        if found[-1][2] >= now - KEPT_FOR:
            break
    return deleted
