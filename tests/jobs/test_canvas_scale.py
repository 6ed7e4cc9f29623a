"""Ten thousand parts: the cost grows with their number and no faster, and no message grows with it."""

from __future__ import annotations

import pytest
from celery import chord, group, states
from celery.result import AsyncResult
from django.db import connection
from django.db.models import Max
from django.db.models.functions import Length
from django.test.utils import CaptureQueriesContext

from myproject.jobs.chords import RESULTS_OF
from myproject.jobs.models import Chord, ChordPart, Job
from myproject.jobs.storage import StoredDataMissing
from tests.jobs.workflow_app import Workshop
from tests.jobs.workflow_tasks import PREFIX

#: Without coverage: the cost of many parts is the subject, and other tests walk the same lines with a few.
pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]


def run_all(shop):
    """Run what is open in the order of the rows, without asking for it before each run."""
    while found := shop.open_ids():
        for task_id in found:
            shop.run(task_id)


def statements_of(app, tasks, parts):
    shop = Workshop(app)
    with CaptureQueriesContext(connection) as sending:
        result = chord([tasks.add.s(n, 1) for n in range(parts)], tasks.total.s()).delay()
    with CaptureQueriesContext(connection) as running:
        run_all(shop)
    assert AsyncResult(result.id, app=app).get(timeout=5) == sum(range(parts)) + parts
    return counted(sending), counted(running)


def counted(queries):
    """Return how many statements there were; what operators hold is asked for by the clock, not by the part."""
    return len([query for query in queries.captured_queries if "jobs_control" not in query["sql"]])


def test_each_part_costs_the_same_number_of_statements(tasks, app):
    small, large = statements_of(app, tasks, 20), statements_of(app, tasks, 60)

    for few, many in zip(small, large, strict=True):
        # One part costs a fixed number of statements, so 40 more cost 40 times that; the rest is there once.
        per_part, rest = divmod(many - few, 40)
        assert rest == 0
        assert few - 20 * per_part == many - 60 * per_part
        assert per_part <= 20


@pytest.mark.slow
@pytest.mark.timeout(900)  # 30 s on an idle machine
def test_ten_thousand_parts_come_to_one_body_with_all_results_in_order(tasks, shop, app):
    parts = 10_000
    result = chord((tasks.add.s(n, 100_000) for n in range(parts)), tasks.gather.s()).delay()
    run_all(shop)

    assert tasks.notes == [[n + 100_000 for n in range(parts)]]
    assert shop.count("gather") == 1
    assert ChordPart.objects.count() == parts
    assert AsyncResult(result.id, app=app).state == states.SUCCESS
    longest = Job.objects.aggregate(longest=Max(Length("body")))["longest"]
    assert longest <= 2_000


def test_large_results_reach_the_body_by_reference(tasks, shop, app):
    result = chord([tasks.note.s("x" * 5_000) for _ in range(20)], tasks.gather.s()).delay()
    shop.drain(twice=True)

    body = Job.objects.get(id=result.id)
    assert RESULTS_OF in body.body
    assert len(body.body) < 500
    assert AsyncResult(result.id, app=app).get(timeout=5) == ["x" * 5_000] * 20
    assert tasks.notes[-1] == ["x" * 5_000] * 20


def test_a_body_whose_results_were_pruned_fails_and_is_not_given_nothing(tasks, shop):
    result = chord([tasks.note.s("x" * 5_000) for _ in range(20)], tasks.gather.s()).delay()
    for task_id in shop.open_ids():
        shop.run(task_id)
    ChordPart.objects.all().delete()
    Chord.objects.all().delete()
    shop.drain()

    with pytest.raises(StoredDataMissing):
        result.get(timeout=5)


def test_a_large_body_is_kept_once_and_not_with_every_part(tasks, shop):
    members = 200
    body = group(tasks.gather.s() for _ in range(members))
    result = chord([tasks.add.s(n, 1) for n in range(50)], body).delay()

    assert Job.objects.aggregate(longest=Max(Length("body")))["longest"] < 500
    run_all(shop)

    assert [member.get(timeout=5) for member in result.results] == [list(range(1, 51))] * members
    assert shop.count("gather") == members


def test_a_failed_part_fails_a_body_that_is_kept_with_its_chord(tasks, shop):
    body = group(tasks.gather.s() for _ in range(50))
    result = chord([tasks.fail.s("lost"), tasks.add.s(1, 1)], body).delay()
    run_all(shop)

    assert {member.state for member in result.results} == {states.FAILURE}
    assert Job.objects.filter(task=PREFIX + "gather").exclude(body="").count() == 0


def test_group_of_many_is_joined_in_chunks(tasks, shop):
    result = group(tasks.add.s(n, 0) for n in range(600)).apply_async()
    run_all(shop)

    with CaptureQueriesContext(connection) as queries:
        assert result.get(timeout=5) == list(range(600))
    assert len(queries) == 2
