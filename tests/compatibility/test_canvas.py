"""Signatures and workflows: chain, group, chord, map, starmap, chunks, and the documents' pipelines built of them."""

from __future__ import annotations

import uuid

import pytest
from celery import chain, chord, group, signature
from celery.exceptions import ChordError

from tests.compatibility.tasks_for_tests import PermanentError
from tests.servers.processes import wait_until

WAIT = 60


def test_signatures_of_every_spelling_are_the_same_call(tasks):
    spelled = (
        tasks.add.s(2, 2),
        tasks.add.signature((2, 2)),
        tasks.add.subtask((2, 2)),
        signature("tests.compatibility.add", args=(2, 2), app=tasks.add.app),
    )

    assert [sig.apply_async().get(timeout=WAIT) for sig in spelled] == [4, 4, 4, 4]


def test_a_signature_can_be_run_here(registered):
    assert registered.add.s(2, 2)() == 4


def test_a_signature_carries_its_options(registered):
    sig = registered.add.signature((2, 2), countdown=10)
    later = sig.clone(countdown=60).set(queue="reports")

    assert sig.options == {"countdown": 10}
    assert later.options == {"countdown": 60, "queue": "reports"}


def test_partial_arguments_are_filled_in_front(tasks):
    assert tasks.context.s("fixed").apply_async(args=("first",)).get(timeout=WAIT)["args"] == ["first", "fixed"]
    assert tasks.add.s(2).delay(4).get(timeout=WAIT) == 6


def test_an_immutable_signature_takes_no_result(tasks):
    assert chain(tasks.add.s(2, 2), tasks.add.si(10, 1))().get(timeout=WAIT) == 11


def test_chain_passes_each_result_on(tasks):
    assert chain(tasks.add.s(2, 2), tasks.add.s(4), tasks.add.s(8))().get(timeout=WAIT) == 16


def test_chain_written_with_bars(tasks):
    assert (tasks.add.s(2, 2) | tasks.add.s(4) | tasks.add.s(8))().get(timeout=WAIT) == 16


def test_a_failed_step_stops_the_chain(tasks, notes):
    key = uuid.uuid4().hex
    result = chain(tasks.fail.s("declined"), tasks.note.s(key))()

    with pytest.raises(Exception, match="declined"):
        result.get(timeout=WAIT)
    assert notes(key) == []


def test_group_runs_all_and_keeps_their_order(tasks):
    result = group([tasks.add.s(2, 2), tasks.add.s(4, 4), tasks.add.s(8, 8)]).apply_async()

    assert result.get(timeout=WAIT) == [4, 8, 16]
    assert result.completed_count() == 3
    assert result.successful()


def test_group_of_a_generator(tasks):
    assert group(tasks.add.s(number, 1) for number in range(5)).delay().get(timeout=WAIT) == [1, 2, 3, 4, 5]


def test_group_with_a_callback_becomes_a_chord(tasks):
    workflow = group([tasks.add.s(2, 2), tasks.add.s(4, 4)]) | tasks.total.s()

    assert workflow.delay().get(timeout=WAIT) == 12


def test_group_splits_a_long_list(tasks):
    numbers = list(range(1, 101))
    job = group(tasks.total.s(numbers[start : start + 10]) for start in range(0, len(numbers), 10))

    assert sum(job.apply_async().get(timeout=WAIT)) == 5050


def test_chord_calls_its_body_with_all_results(tasks):
    assert chord([tasks.add.s(number, number) for number in range(10)])(tasks.total.s()).get(timeout=WAIT) == 90


def test_chord_with_a_failed_part_fails_and_says_which(tasks, notes):
    key = uuid.uuid4().hex
    body = tasks.total.s().on_error(tasks.on_error.s(key=key))
    result = chord([tasks.add.s(1, 1), tasks.fail.s("part lost")])(body)

    assert "part lost" in notes(key, expect=1)[0]
    with pytest.raises(PermanentError, match="part lost"):
        result.get(timeout=WAIT)
    wait_until(result.ready, timeout=WAIT, what="the chord's end")
    assert (result.state, type(result.result)) == ("FAILURE", ChordError)


def test_nested_chords(tasks):
    inner = [chord([tasks.add.si(n, 1), tasks.add.si(n, 2)], tasks.total.s()) for n in (0, 10)]

    assert chord(inner, tasks.total.s()).delay().get(timeout=WAIT) == 3 + 23


def test_map_calls_the_task_with_each_item(tasks):
    assert tasks.total.map([[2, 2], [4, 4], [8, 8]]).delay().get(timeout=WAIT) == [4, 8, 16]


def test_starmap_unpacks_each_item(tasks):
    assert tasks.add.starmap([(2, 2), (4, 4), (8, 8)]).delay().get(timeout=WAIT) == [4, 8, 16]


def test_chunks_splits_the_calls(tasks):
    calls = ((number, number) for number in range(20))

    assert tasks.add.chunks(calls, 5).group().delay().get(timeout=WAIT) == [
        [2 * number for number in range(start, start + 5)] for start in range(0, 20, 5)
    ]


def test_chain_with_a_group_in_the_middle(tasks):
    workflow = chain(
        tasks.add.s(1, 1), group([tasks.add.s(part) for part in range(10)]), tasks.total.s(), tasks.add.s(100)
    )

    assert workflow.apply_async().get(timeout=WAIT) == 10 * 2 + 45 + 100


def test_chain_with_a_chord_in_the_middle(tasks):
    workflow = chain(tasks.add.s(1, 1), chord([tasks.add.s(10), tasks.add.s(20)], tasks.total.s()), tasks.add.s(1000))

    assert workflow.delay().get(timeout=WAIT) == 12 + 22 + 1000


def test_the_shape_of_the_bulk_order_pipeline(tasks, notes):
    """Validate in parallel, collect, charge, then tell every customer in parallel."""
    key = uuid.uuid4().hex
    orders = [1, 2, 3]
    workflow = chain(
        chord(group(tasks.add.s(order, 0) for order in orders), tasks.total.s()),
        tasks.add.s(100),
        group(tasks.note.si(order, key) for order in orders),
    )

    assert workflow.delay().get(timeout=WAIT) == [1, 2, 3]
    assert sorted(notes(key)) == ["1", "2", "3"]
