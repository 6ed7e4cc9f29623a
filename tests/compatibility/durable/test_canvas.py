"""Signatures and workflows of durable tasks: every spelling, every form, and what a failure means to each."""

from __future__ import annotations

import uuid

import pytest
from celery import chain, chord, group, signature
from celery.exceptions import ChordError
from django.db import transaction

from myproject.jobs.models import Job
from tests.compatibility.tasks_for_tests import PermanentError
from tests.servers.processes import wait_until

WAIT = 60


def test_signatures_of_every_spelling_are_the_same_call(tasks, app):
    spelled = (
        tasks.add.s(2, 2),
        tasks.add.si(2, 2),
        tasks.add.signature((2, 2)),
        tasks.add.signature(args=(2,), kwargs={"y": 2}),
        tasks.add.subtask((2, 2)),
        signature("tests.durable.add", args=(2, 2), app=app),
        signature(dict(tasks.add.s(2, 2)), app=app),
    )

    assert [sig.apply_async().get(timeout=WAIT) for sig in spelled] == [4] * 7


def test_a_signature_can_be_run_here(tasks):
    assert tasks.add.s(2, 2)() == 4


def test_clone_and_set_keep_the_options_of_a_call(tasks):
    later = tasks.context.signature((1,), countdown=10).clone(countdown=0).set(queue="durable_other", priority=3)

    assert later.options == {"countdown": 0, "queue": "durable_other", "priority": 3}
    info = later.delay().get(timeout=WAIT)["delivery_info"]
    assert (info["routing_key"], info["priority"]) == ("durable_other", 3)


def test_partial_arguments_are_filled_in_front_and_named_ones_are_merged(tasks):
    first = tasks.context.s("fixed", named=1).apply_async(args=("first",), kwargs={"named": 2, "more": 3})
    seen = first.get(timeout=WAIT)

    assert (seen["args"], seen["kwargs"]) == (["first", "fixed"], {"named": 2, "more": 3})
    assert tasks.add.s(2).delay(4).get(timeout=WAIT) == 6


def test_link_and_link_error_of_a_signature(tasks, notes):
    key = uuid.uuid4().hex
    well, badly = tasks.add.s(1, 1), tasks.fail.s("refused")
    well.link(tasks.note.s(key))
    badly.link_error(tasks.on_error.s(key=key))
    well.delay()
    failed = badly.delay()

    assert sorted(notes(key, expect=2)) == sorted(["2", f"{failed.id} refused"])


def test_a_chain_passes_each_result_on_and_its_results_know_their_parents(tasks):
    result = chain(tasks.add.s(2, 2), tasks.add.s(4), tasks.add.s(8))()

    assert result.get(timeout=WAIT) == 16
    assert (result.parent.get(), result.parent.parent.get(), result.parent.parent.parent) == (8, 4, None)
    first = result.parent.parent.id
    assert set(Job.objects.filter(root_id=first).values_list("id", flat=True)) == {result.id, result.parent.id}


def test_a_chain_written_with_bars_and_an_immutable_step(tasks):
    assert (tasks.add.s(2, 2) | tasks.add.s(4) | tasks.add.si(10, 1)).delay().get(timeout=WAIT) == 11


def test_a_failed_step_ends_the_chain_and_tells_its_error_callback(tasks, notes):
    key, told = uuid.uuid4().hex, uuid.uuid4().hex
    result = chain(tasks.fail.s("declined"), tasks.note.s(key)).on_error(tasks.on_error.s(key=told)).delay()

    with pytest.raises(PermanentError, match="declined"):
        result.get(timeout=WAIT)
    assert "declined" in notes(told, expect=1)[0]
    assert notes(key) == []


def test_a_group_runs_all_and_keeps_their_order(tasks):
    result = group([tasks.add.s(2, 2), tasks.add.s(4, 4), tasks.add.s(8, 8)]).apply_async()

    assert result.get(timeout=WAIT) == [4, 8, 16]
    assert (result.completed_count(), result.successful(), result.ready(), result.failed()) == (3, True, True, False)


def test_a_group_of_a_generator_and_of_one(tasks):
    assert group(tasks.add.s(number, 1) for number in range(5)).delay().get(timeout=WAIT) == [1, 2, 3, 4, 5]
    assert group([tasks.add.s(1, 1)]).delay().get(timeout=WAIT) == [2]


def test_a_group_with_a_failed_member_raises_and_keeps_the_others(tasks):
    result = group([tasks.add.s(1, 1), tasks.fail.s("one of two")]).delay()

    with pytest.raises(PermanentError, match="one of two"):
        result.get(timeout=WAIT)
    assert result.results[0].get(timeout=WAIT) == 2
    assert isinstance(result.join(timeout=WAIT, propagate=False)[1], PermanentError)
    assert result.failed()


def test_a_group_with_a_callback_becomes_a_chord(tasks):
    assert (group([tasks.add.s(2, 2), tasks.add.s(4, 4)]) | tasks.total.s()).delay().get(timeout=WAIT) == 12


def test_a_chord_calls_its_body_with_all_results_in_order(tasks, notes):
    key = uuid.uuid4().hex
    result = chord([tasks.add.s(number, number) for number in range(10)])(tasks.note.s(key))

    assert result.get(timeout=WAIT) == [2 * number for number in range(10)]
    assert notes(key) == [str([2 * number for number in range(10)])]
    assert result.parent.get() == result.get()


def test_a_chord_with_a_failed_part_fails_and_says_which(tasks, notes):
    key = uuid.uuid4().hex
    body = tasks.total.s().on_error(tasks.on_error.s(key=key))
    result = chord([tasks.add.s(1, 1), tasks.fail.s("part lost")])(body)

    assert "part lost" in notes(key, expect=1)[0]
    wait_until(result.ready, timeout=WAIT, what="the chord's end")
    assert (result.state, type(result.result)) == ("FAILURE", ChordError)
    with pytest.raises(PermanentError, match="part lost"):  # the parent's own error, as with any backend
        result.get(timeout=WAIT)


def test_nested_chords(tasks):
    inner = [chord([tasks.add.si(n, 1), tasks.add.si(n, 2)], tasks.total.s()) for n in (0, 10)]

    assert chord(inner, tasks.total.s()).delay().get(timeout=WAIT) == 3 + 23


def test_map_starmap_and_chunks(tasks):
    assert tasks.total.map([[2, 2], [4, 4], [8, 8]]).delay().get(timeout=WAIT) == [4, 8, 16]
    assert tasks.add.starmap([(2, 2), (4, 4), (8, 8)]).delay().get(timeout=WAIT) == [4, 8, 16]
    calls = [(number, number) for number in range(6)]
    assert tasks.add.chunks(calls, 2).group().delay().get(timeout=WAIT) == [[0, 2], [4, 6], [8, 10]]
    assert tasks.add.chunks(calls, 3)().get(timeout=WAIT) == [[0, 2, 4], [6, 8, 10]]


def test_a_chain_with_a_group_and_a_chord_in_the_middle(tasks):
    workflow = chain(
        tasks.add.s(1, 1),
        group([tasks.add.s(part) for part in range(4)]),
        tasks.total.s(),
        chord([tasks.add.s(10), tasks.add.s(20)], tasks.total.s()),
        tasks.add.s(1000),
    )

    assert workflow.delay().get(timeout=WAIT) == 2 * (4 * 2 + 6) + 30 + 1000


def test_a_group_of_chains_and_a_chord_whose_body_is_a_chain(tasks):
    chains = group(chain(tasks.add.s(n, 1), tasks.add.s(10)) for n in (1, 2))

    assert chains.delay().get(timeout=WAIT) == [12, 13]
    assert chord(chains, chain(tasks.total.s(), tasks.add.s(5))).delay().get(timeout=WAIT) == 30


def test_replace_delivers_the_result_under_the_same_id(tasks):
    result = tasks.replaced_by_sum.delay(2, 3)

    assert result.get(timeout=WAIT) == 5
    assert chain(tasks.replaced_by_sum.s(2, 3), tasks.add.s(10)).delay().get(timeout=WAIT) == 15
    assert tasks.replaced_by_chord.delay([1, 2, 3]).get(timeout=WAIT) == 9


def test_add_to_chord_adds_a_part_while_the_chord_runs(tasks):
    result = chord([tasks.grows.s(1), tasks.add.s(1, 1)], tasks.total.s()).delay()

    assert result.get(timeout=WAIT) == 1 + 2 + 101


def test_a_retried_step_keeps_its_place(tasks):
    step = tasks.other_arguments
    assert chain(step.s(1), tasks.add.s(10)).delay().get(timeout=WAIT) == 13
    assert chord([step.s(1), step.s(2)], tasks.total.s()).delay().get(timeout=WAIT) == 6


def test_stamps_reach_every_part_of_a_workflow(tasks):
    workflow = group([tasks.context.si(1), chain(tasks.add.si(1, 1), tasks.context.si(2))])
    workflow.stamp(order="536365")
    alone, last = workflow.delay().get(timeout=WAIT)

    assert (alone["stamps"], last["stamps"]) == ({"order": "536365"}, {"order": "536365"})


def test_a_workflow_belongs_to_its_transaction(tasks):
    before = Job.objects.count()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        chord([tasks.add.s(1, 1), tasks.add.s(2, 2)])(tasks.total.s())
        chain(tasks.add.s(1, 1), tasks.add.s(1)).delay()
        raise ZeroDivisionError
    with transaction.atomic():
        kept = chord([tasks.add.s(1, 1), tasks.add.s(2, 2)])(tasks.total.s())

    assert kept.get(timeout=WAIT) == 6
    assert Job.objects.count() == before + 3


def test_a_workflow_goes_on_after_the_broker_was_emptied(tasks, world, notes):
    """The third step and the chord's body are promised by the step before, not by the broker."""
    go = uuid.uuid4().hex
    result = chain(tasks.held.si(go), group([tasks.add.si(1, 1), tasks.add.si(2, 2)]), tasks.total.s()).delay()
    first = result.parent.parent if result.parent.parent is not None else result.parent
    notes(first.id, expect=1)
    world.empty_broker()
    world.let_go(go)

    assert result.get(timeout=WAIT) == 6


def test_options_of_a_workflow_hold_for_its_parts(tasks):
    seen = group([tasks.context.si(1), tasks.context.si(2)]).apply_async(queue="durable_other", priority=2)

    for part in seen.get(timeout=WAIT):
        assert (part["delivery_info"]["routing_key"], part["delivery_info"]["priority"]) == ("durable_other", 2)


def test_a_countdown_delays_a_whole_chain(tasks):
    result = chain(tasks.add.s(1, 1), tasks.add.s(2)).apply_async(countdown=3600)

    assert Job.objects.get(id=result.parent.id).due_at is not None
    assert (result.parent.state, result.state) == ("PENDING", "PENDING")
    result.parent.revoke()
    assert result.parent.state == "REVOKED"
