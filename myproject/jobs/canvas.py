"""Workflows whose memory is the database: what follows a step is written in the step's own transaction.

Celery's tracer sends links and the chain's next step after the body, and its canvas sends a chord's header part by
part. A process that dies in between leaves half a workflow. Here `dispatch` does the tracer's work inside the body's
transaction, and `install` puts each call of a group, chain or chord into one transaction. Sources:
celery.app.trace.build_tracer, celery.canvas (Celery 5.7), held by tests/contracts/test_celery_internals.py.
"""

from __future__ import annotations

from typing import Any

from celery import canvas

from myproject.jobs.atomic_canvas import install
from myproject.jobs.chords import WORKFLOW_CANCELLED, is_cancelled

__all__ = ["WORKFLOW_CANCELLED", "dispatch", "install", "is_cancelled"]


def dispatch(task: Any, request: Any, retval: Any) -> None:
    """Send what is linked to a step that ended well and the next step of its chain, as `build_tracer` would.

    Called inside the body's transaction, before the result is stored: so the result names its children. A workflow
    that was cancelled meanwhile goes no further.
    """
    if not request.callbacks and not request.chain:
        return
    root_id = request.root_id or request.id
    if is_cancelled(root_id):
        return
    inherits = task.app.conf.task_inherit_parent_priority
    options = {
        "parent_id": request.id,
        "root_id": root_id,
        "priority": (request.delivery_info or {}).get("priority") if inherits else None,
    }
    linked: list[Any] = [canvas.maybe_signature(signature, app=task.app) for signature in request.callbacks or ()]
    if len(linked) > 1:
        # Groups are sent by themselves, everything else as one group, so that no child is noted twice.
        groups: list[Any] = [signature for signature in linked if isinstance(signature, canvas.group)]
        others = [signature for signature in linked if not isinstance(signature, canvas.group)]
        linked = [*groups, *([canvas.group(others, app=task.app)] if others else [])]
    for signature in linked:
        signature.apply_async((retval,), **options)
    if request.chain:
        following: Any = canvas.maybe_signature(request.chain[-1], app=task.app)
        following.apply_async((retval,), chain=request.chain[:-1], **options)
