"""Counting the parts of chords, in the transactions of the parts.

Each part writes its result and raises the chord's counter in the transaction that closes its job; the counter's lock
puts the parts in line, so one of them is the last, and it writes the body's job. A part that is delivered twice finds
its result there. Nothing of this is on the broker.

A header of 10,000 parts costs three statements a part. The body is kept once, with the chord, when it is more than a
few words, and large results go to the body as a reference that its worker resolves (`with_results`): every message
stays small. Sources: celery.canvas._chord.run, group._apply_tasks; celery.backends.base.Backend.chord_error_from_stack
(Celery 5.7), held by tests/contracts/test_celery_internals.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import structlog
from celery import canvas, states
from celery.app.task import Context
from celery.backends import base
from celery.exceptions import TaskRevokedError
from celery.result import GroupResult
from celery.utils import functional
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, transaction
from django.db.models import F
from kombu.utils.json import dumps, loads

from myproject.jobs.errors import is_passing
from myproject.jobs.failpoints import hit
from myproject.jobs.ledger import dialect, execute, fetch
from myproject.jobs.models import Chord, ChordPart, Job, JobEvent
from myproject.jobs.outcomes import LARGEST_RESULT, OutcomesInRows, refuse_large
from myproject.jobs.storage import StoredDataMissing

logger = structlog.get_logger(__name__)

Regen: Any = functional._regen  # type: ignore[attr-defined]
create_chord_error: Any = base._create_chord_error_with_cause  # type: ignore[attr-defined]

#: Characters of a body that every part's message may repeat; a plain task's signature has about 400.
REPEATED_BODY = 1_024
#: Characters of the results that the body's message may hold; a quarter of what any job may hold.
CARRIED_RESULTS = 65_536
#: The key of a body's argument that stands for the results of a chord.
RESULTS_OF = "job_results_of_chord"
#: The option of a signature that stands for a body which is kept with its chord.
KEPT_BODY = "job_kept_body"
#: The kind of the event, on the workflow's first job, that ends a whole workflow.
WORKFLOW_CANCELLED = "cancelled_workflow"
#: How the text of a part that succeeded begins.
SUCCEEDED = '["SUCCESS"'


class Tally(NamedTuple):
    """A chord's row, locked; without its structure, which is long and read once."""

    size: int | None
    returned: int
    fired: bool


class ChordsInRows(OutcomesInRows):
    """The part of the result backend that counts."""

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Note the order of the header's results, and the body when it is large. Called before the parts are sent."""
        group_id, results = header_result_args
        # A header that is a generator must not be used up here; its parts then stand in the order of their index.
        order = None if isinstance(results, Regen) else [_outline(result) for result in results]
        kept: dict[str, Any] = {"order": order, "body": {"id": body.id, "task": body.task}}
        if roots := self._roots(body, results if order is not None else ()):
            kept["roots"] = roots
        if len(dumps(body)) > REPEATED_BODY:
            kept["kept"] = dict(body)
            stub = {"task": body.task, "options": {"task_id": body.id, KEPT_BODY: True}}
            # The parts refer to this very object, which `_chord.run` made for them.
            body.clear()
            body.update(stub, args=(), kwargs={}, subtask_type=None, immutable=False)
        Chord.objects.update_or_create(id=group_id, defaults={"structure": dumps(kept)})

    def note_parts(self, header: GroupResult) -> None:
        """Note what the parts of a header begin with that was a generator: they are known when all are sent."""
        group_id = str(header.id)
        structure = _structure(group_id)
        if structure["order"] is None and "roots" not in structure:
            structure["roots"] = [first for part in header.results or () for first in _firsts(part)]
            Chord.objects.filter(id=group_id).update(structure=dumps(structure))

    def _roots(self, body: Any, results: Any) -> list[str]:
        """Return the first jobs of the workflows that lead to the parts, apart from the parts themselves.

        The pruner asks whether any job of these is left. A chord that is called in a job belongs to that job's
        workflow; of one that is called by itself each part begins a workflow of its own.
        """
        caller = self.app.current_worker_task
        root = body.options.get("root_id") or (caller and (caller.request.root_id or caller.request.id))
        if root:
            return [root]
        return [first for result in results for first in _firsts(result) if first != result.id]

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Note how many parts the header has. Called before the last of them is sent."""
        Chord.objects.update_or_create(id=group_id, defaults={"size": chord_size})

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Have the chord wait for one part more: `Task.add_to_chord`."""
        Chord.objects.filter(id=chord_id).update(size=F("size") + 1)

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Count a part, in the transaction that closes its job. The last one sends the body."""
        if not request.group or not request.id:
            return
        encoded = self.encode_result(result, state)
        value = str(self.encode([state, encoded]))
        if state == states.SUCCESS and len(value) > LARGEST_RESULT:
            refuse_large(encoded)
        with transaction.atomic(savepoint=False):  # whoever reports undoes everything when this fails
            tally = _lock(request.group)
            if tally is None:
                # A stock client sent this chord and counts it where it keeps its results.
                elsewhere = partial(self.count_elsewhere, request, state, result, **kwargs)
                transaction.on_commit(elsewhere, robust=True)
                return
            if _insert_part(request, value):
                returned = tally.returned + 1
                fires = not tally.fired and tally.size is not None and returned >= tally.size
                Chord.objects.filter(id=request.group).update(returned=returned, fired=tally.fired or fires)
                hit("chord.counted")
            else:
                fires = self._mended(request, state, value, tally)
            if fires:
                self._fire(request)
                hit("chord.fired")

    def count_elsewhere(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Count a part of a chord that is none of ours."""

    def _mended(self, request: Any, state: str, value: str, tally: Tally) -> bool:
        """Replace a part's failure by the success of its later life. True when it was the chord's last failure."""
        parts = ChordPart.objects.filter(chord_id=request.group)
        failed = parts.exclude(value__startswith=SUCCEEDED)
        if state != states.SUCCESS or not failed.filter(task_id=request.id).update(value=value):
            return False
        return tally.fired and not failed.exists()

    def _fire(self, request: Any) -> None:
        group_id, structure = request.group, _structure(request.group)
        body = structure["kept"] if KEPT_BODY in (request.chord.get("options") or {}) else request.chord
        callback: Any = canvas.maybe_signature(body, app=self.app)
        if is_cancelled(request.get("root_id") or request.id):
            self._fail_chord(callback, "The workflow was cancelled.", TaskRevokedError("workflow cancelled"))
            return
        failed = _first_failure(group_id)
        if failed is not None:
            task_id, text = failed
            error = self.exception_to_python(self.decode(text)[1])
            self._fail_chord(callback, f"Dependency {task_id} raised {error!r}", error)
            return
        # Beyond a size the body gets a reference: its message, and each one's of a body that is a group, stays small.
        large = _size_of_results(group_id) > CARRIED_RESULTS
        given: Any = {RESULTS_OF: group_id} if large else results_of(group_id)
        try:
            with transaction.atomic():  # a body that cannot be sent fails the chord, not the last part
                sent = callback.delay(given)
                if large:
                    structure["readers"] = sorted(set(_family(sent)))
                    Chord.objects.filter(id=group_id).update(structure=dumps(structure))
        except Exception as error:
            if isinstance(error, DatabaseError) and is_passing(error):
                raise
            logger.exception("the body of a chord could not be sent", chord=group_id)
            self._fail_chord(callback, f"Callback error: {error!r}", error)

    def _fail_chord(self, callback: Any, message: str, cause: Any) -> None:
        """Fail the body, what follows it, and the chord that it is a part of."""
        try:
            raise create_chord_error(message, cause)
        except Exception as error:  # chord_error_from_stack takes the traceback from here
            self.chord_error_from_stack(callback, error)
            options = callback.options
            if options.get("chord") and options.get("group_id"):
                # Stock Celery leaves the outer chord of a failed inner one waiting for ever.
                names = {"group": "group_id", "group_index": "group_index", "chord": "chord", "id": "task_id"}
                part = Context({name: options.get(option) for name, option in names.items()})
                self.on_chord_part_return(part, states.FAILURE, error)


def is_cancelled(root_id: str) -> bool:
    """Tell whether the workflow that began with this job was cancelled as a whole, in its present life."""
    cancelled = JobEvent.objects.filter(job_id=root_id, kind=WORKFLOW_CANCELLED)
    return cancelled.filter(epoch__in=Job.objects.filter(id=root_id).values("epoch")).exists()


def with_results(args: Sequence[Any]) -> Sequence[Any]:
    """Return a body's arguments with the results of its chord in place of their reference."""
    if not args or not isinstance(args[0], dict) or RESULTS_OF not in args[0]:
        return args
    return [results_of(args[0][RESULTS_OF]), *args[1:]]


def results_of(group_id: str) -> list[Any]:
    """Return the results of a chord's header, in order. Raises StoredDataMissing when they were pruned."""
    if not Chord.objects.filter(id=group_id).exists():
        raise StoredDataMissing(f"The results of the chord {group_id} were pruned; its body cannot run any more.")
    sql = "SELECT task_id, value FROM jobs_chordpart WHERE chord_id=%s ORDER BY ordinal, id"
    parts = {task_id: loads(text)[1] for task_id, text in _read_parts(sql, group_id)}
    return _ordered(parts, _structure(group_id)["order"])


def _first_failure(group_id: str) -> tuple[str, str] | None:
    """Return the id and the outcome of the first part, in the order of the header, that did not succeed."""
    unlike = SUCCEEDED + "%%"
    sql = f"SELECT task_id, value FROM jobs_chordpart WHERE chord_id=%s AND value NOT LIKE '{unlike}'"
    found = _read_parts(f"{sql} ORDER BY ordinal, id LIMIT 1", group_id)
    return found[0] if found else None


def _size_of_results(group_id: str) -> int:
    """Return about how many characters the results take, without reading them."""
    ((size,),) = _read_parts("SELECT SUM(LENGTH(value)) FROM jobs_chordpart WHERE chord_id=%s", group_id)
    return int(size or 0)


def _read_parts(sql: str, group_id: str) -> list[Any]:
    """Read parts with a lock: under REPEATABLE READ a plain read would miss what was committed since the first one."""
    lock = dialect().lock if connections[DEFAULT_DB_ALIAS].in_atomic_block else ""
    return fetch(sql + lock, (group_id,))


def _structure(group_id: str) -> dict[str, Any]:
    """Return what `apply_chord` noted."""
    text = Chord.objects.filter(id=group_id).values_list("structure", flat=True).first()
    found: dict[str, Any] = loads(text) if text else {"order": None}
    return found


def _firsts(result: Any) -> Iterator[str]:
    """Yield the ids of the jobs that a part begins with: of a chain that is its first step, or its first group's."""
    seen: set[str] = set()
    while result.parent is not None and result.id not in seen:
        seen.add(result.id)
        result = result.parent
    if isinstance(result, GroupResult):
        for child in result.results or ():
            yield from (child.id,) if child.parent in (None, result) else _firsts(child)
    else:
        yield result.id


def _family(result: Any) -> Iterator[str]:
    """Yield the ids of everything that a call has sent or will send, as far as its result tells."""
    waiting, seen = [result], set()
    while waiting:
        node = waiting.pop()
        if node is None or node.id in seen:
            continue
        seen.add(node.id)
        waiting += [node.parent, *(node.results or () if isinstance(node, GroupResult) else ())]
        yield node.id


def _outline(result: Any) -> Any:
    """Return the ids of a header's results, nested as they are."""
    return [_outline(child) for child in result.results or ()] if isinstance(result, GroupResult) else result.id


def flat(outline: Any) -> Iterator[str]:
    """Yield the ids of an outline."""
    waiting = [outline]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        else:
            yield node


def _ordered(parts: dict[str, Any], order: Any) -> list[Any]:
    """Return the results in the order of the header; those that `Task.add_to_chord` added stand at the end."""
    left = dict(parts)

    def build(node: Any) -> Any:
        return [build(child) for child in node] if isinstance(node, list) else left.pop(node)

    try:
        return [*build(order), *left.values()] if order is not None else list(parts.values())
    except KeyError:  # a part that returned under another id
        return list(parts.values())


def _lock(group_id: str) -> Tally | None:
    found = fetch(f"SELECT size, returned, fired FROM jobs_chord WHERE id=%s{dialect().lock}", (group_id,))
    return Tally(*found[0]) if found else None


def _insert_part(request: Any, value: str) -> bool:
    """Write a part's outcome. False: it is there already. The chord's lock is held, so nobody else writes one."""
    sql = f"{dialect().insert_new} jobs_chordpart (chord_id, task_id, ordinal, value) VALUES (%s, %s, %s, %s)"
    ordinal = getattr(request, "group_index", None)
    return execute(sql, (request.group, request.id, ordinal, value)) == 1
