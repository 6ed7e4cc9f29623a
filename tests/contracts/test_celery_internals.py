"""The parts of Celery that our canvas and our results rely on, each held by the digest of its source.

Celery promises none of them. When an upgrade changes one, the test of that part fails: read the part again with its
sentence in mind, change ours if it must be, run tests/jobs, and write the new digest here.
"""

from __future__ import annotations

import inspect
from typing import Any

import celery
import pytest
from celery.app import trace
from celery.backends.base import KeyValueStoreBackend
from celery.canvas import _chord, group  # type: ignore[attr-defined]

from myproject.jobs.amqp import DurableAMQP
from myproject.jobs.backend import JobBackend
from myproject.jobs.task import DurableTask
from tests.contracts.parts import Part, check, find

PARTS = (
    Part(
        "celery.app.trace:build_tracer",
        "b2945aec38e1",
        "It calls a task that overrides `__call__`; only then it reads callbacks, chain and chord.",
    ),
    Part(
        "celery.app.trace:TraceInfo.handle_error_state",
        "682af92f6c79",
        "It reports the failure of an ignored result, too, with store_result false.",
    ),
    Part(
        "celery.app.trace:TraceInfo.handle_retry",
        "334e176e5c8b",
        "It reports a retry after the next life was sent.",
    ),
    Part(
        "celery.app.trace:TraceInfo.handle_failure",
        "837ebf27a44a",
        "It reports a failure once, when the body's transaction is rolled back.",
    ),
    Part(
        "celery.backends.base:Backend.mark_as_done",
        "87fbe4a218b7",
        "It stores, then counts the chord's part.",
    ),
    Part(
        "celery.backends.base:Backend.mark_as_failure",
        "d6b5a5b37dfe",
        "It stores, counts the chord's part, fails the chain and calls the error callbacks, in this order.",
    ),
    Part(
        "celery.backends.base:Backend._fail_chain",
        "988f194c2467",
        "It stores a failure for each later step, descends into chords and counts parts.",
    ),
    Part(
        "celery.backends.base:Backend.mark_as_revoked",
        "f82fc3606bf1",
        "It stores, then counts the chord's part.",
    ),
    Part(
        "celery.backends.base:Backend.mark_as_retry",
        "a669b161fef8",
        "It only stores.",
    ),
    Part(
        "celery.backends.base:Backend._call_task_errbacks",
        "394c9b9e6117",
        "Ours stands in its place and decides as it does which callbacks run here and which are sent.",
    ),
    Part(
        "celery.backends.base:Backend._errback_arity_greater",
        "331c817fd370",
        "It tells whether an error callback takes more than the id.",
    ),
    Part(
        "celery.backends.base:Backend.chord_error_from_stack",
        "e7f67c34a18d",
        "It fails a body that was never sent, and the chain behind it.",
    ),
    Part(
        "celery.backends.base:Backend._handle_group_chord_error",
        "751f439988b0",
        "Ours stands in its place, without the broadcast: it fails the members of the body alike.",
    ),
    Part(
        "celery.backends.base:Backend.fail_from_current_stack",
        "56c1e0d5efbd",
        "It reports a failure without a request.",
    ),
    Part(
        "celery.backends.base:Backend._get_result_meta",
        "11e289492793",
        "It makes the outcome that a row holds, `status` first.",
    ),
    Part(
        "celery.backends.base:Backend.encode_result",
        "e476869148eb",
        "It turns exceptions into JSON.",
    ),
    Part(
        "celery.backends.base:Backend.get_task_meta",
        "e6e5afbcbd77",
        "It asks `_get_task_meta_for` and keeps successes only.",
    ),
    Part(
        "celery.backends.base:Backend.current_task_children",
        "467b192662ca",
        "It takes the children from the request.",
    ),
    Part(
        "celery.backends.base:_create_chord_error_with_cause",
        "fc158a33190a",
        "It makes the error of a failed chord.",
    ),
    Part(
        "celery.backends.base:_create_fake_task_request",
        "0aa7cb1a83e0",
        "It makes the request for a body that was never sent.",
    ),
    Part(
        "celery.backends.base:_result_errbacks",
        "d3b955929d08",
        "It finds the error callbacks of a member of a body.",
    ),
    Part(
        "celery.backends.base:SyncBackendMixin.iter_native",
        "e6243cb98f41",
        "Ours stands in its place; ResultSet calls it like this.",
    ),
    Part(
        "celery.backends.base:SyncBackendMixin.wait_for_pending",
        "ad58eb4b41ee",
        "Ours stands in its place; AsyncResult.get calls it like this.",
    ),
    Part(
        "celery.canvas:group._apply_tasks",
        "d26bda8c26b2",
        "It sends the parts one after the other and sets the chord's size before the last.",
    ),
    Part(
        "celery.canvas:group._freeze_group_tasks",
        "5e6ae2310df6",
        "It gives each part a reference to the very body that apply_chord gets.",
    ),
    Part(
        "celery.canvas:_chord.apply_async",
        "dc1fcd859f71",
        "It clones the body, so that changing it in apply_chord reaches nobody else.",
    ),
    Part(
        "celery.canvas:_chord.run",
        "bfe213e59e61",
        "It calls apply_chord between freezing the header and sending it.",
    ),
    Part(
        "celery.canvas:_chain.run",
        "378491cb50f3",
        "It sends the first step with the others in the option `chain`, the last one first.",
    ),
    Part(
        "celery.app.task:Task.replace",
        "67e061cbfc22",
        "It freezes the replacement under the task's id and ends in `on_replace`, which raises.",
    ),
    Part(
        "celery.app.task:Task.retry",
        "82cd910b5966",
        "It sends the same id again with one retry more and raises Retry with the signature.",
    ),
    Part(
        "celery.app.task:Task.signature_from_request",
        "52ba3d1d0d23",
        "It copies from the request what the next life needs.",
    ),
    Part(
        "celery.app.task:Task.add_to_chord",
        "11558ccac9bd",
        "It tells the backend before it sends the new part.",
    ),
    Part(
        "celery.app.task:Task.update_state",
        "fae476e1e84b",
        "It stores a state through the backend, with the running request.",
    ),
    Part(
        "celery.app.base:Celery.send_task",
        "062778705809",
        "It acquires its producer lazily and ends in `amqp.send_task_message`.",
    ),
    Part(
        "celery.app.amqp:AMQP.as_task_v2",
        "5efb2a7a30d3",
        "It puts callbacks, errbacks, chain and chord into the third part of the body.",
    ),
    Part(
        "celery.worker.request:Request.on_failure",
        "21736ec661cd",
        "It reports lost processes from the pool's main process, with the request's context.",
    ),
    Part(
        "celery.worker.request:Request.on_timeout",
        "3d26ce896008",
        "It reports the hard time limit from the pool's main process.",
    ),
    Part(
        "celery.worker.request:Request._announce_revoked",
        "a34ab36ca94d",
        "It reports revoked and expired tasks with the request's context.",
    ),
    Part(
        "celery.result:AsyncResult.get",
        "e81d2dcd8fbb",
        "It waits through add_pending_result and wait_for_pending.",
    ),
    Part(
        "celery.result:AsyncResult._maybe_set_cache",
        "97083b703617",
        "It fulfils the result's promise.",
    ),
    Part(
        "celery.result:ResultSet.join_native",
        "060c1a0b8ca7",
        "It joins through iter_native.",
    ),
    Part(
        "celery.result:ResultSet._on_ready",
        "49688d8da031",
        "It calls back for a group only where the backend says is_async.",
    ),
    Part(
        "celery.app.backends:by_url",
        "f87b47d5a6e4",
        "It finds the backend behind ours by its URL.",
    ),
    Part(
        "celery.utils.functional:_regen",
        "01194c4c594e",
        "It is what a header becomes that was given as a generator.",
    ),
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_part_is_as_it_was_when_ours_was_written(part):
    check(part, version=f"Celery {celery.__version__}")


def test_what_the_tracer_does_after_a_body_comes_in_this_order():
    source = inspect.getsource(find("celery.app.trace:build_tracer"))
    body = source[source.index("def trace_task(") :]
    steps = [
        "push_request(task_request)",
        "send_prerun(",
        "task.backend.store_result(",
        "task_before_start(uuid, args, kwargs)",
        "R = retval = fun(*args, **kwargs)",
        "retval, task.request.callbacks,",
        "task.backend.mark_as_done(",
        "task_on_success(",
        "send_postrun(",
        "task.backend.process_cleanup()",
    ]
    # The branch for redelivered messages, first in the text, is off without worker_deduplicate_successful_tasks.
    places = [body.index(step) for step in steps]

    assert places == sorted(places)


def test_a_task_with_a_call_of_its_own_is_called():
    assert trace.task_has_custom(DurableTask(), "__call__")


def test_a_chord_is_noted_before_its_parts_are_sent():
    source = inspect.getsource(find("celery.canvas:_chord.run"))

    assert source.index("_freeze_group_tasks") < source.index("apply_chord(") < source.index("header.apply_async(")
    parts = inspect.getsource(find("celery.canvas:group._apply_tasks"))
    assert parts.index("set_chord_size(") < parts.index("sig.apply_async(")


#: What our backend overrides, some of it of Celery's backends that keep values by key; two hand on what they are given.
OVERRIDDEN = sorted(
    name
    for part in JobBackend.__mro__
    if part.__module__.startswith("myproject.")
    for name, ours in vars(part).items()
    if inspect.isfunction(ours) and hasattr(KeyValueStoreBackend, name) and name not in ("__init__", "store_result")
)


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_our_backend_takes_what_celery_s_takes(name):
    theirs = list(inspect.signature(getattr(KeyValueStoreBackend, name)).parameters)
    ours = list(inspect.signature(getattr(JobBackend, name)).parameters)

    assert ours[: len(theirs)] == theirs


@pytest.mark.parametrize("seam", ["amqp", "task_cls", "backend", "fixups"])
def test_the_seams_are_arguments_of_the_app(seam):
    assert seam in inspect.signature(celery.Celery.__init__).parameters


def test_what_ours_overrides_is_there_to_be_overridden():
    for ours in (DurableAMQP, DurableTask, JobBackend):
        base: Any = ours.__mro__[-2] if ours is JobBackend else ours.__bases__[0]
        assert base.__module__.startswith("celery.")
    assert callable(find("celery.app.amqp:AMQP._create_task_sender"))
    assert callable(_chord.apply_async)
    assert callable(group.apply_async)
