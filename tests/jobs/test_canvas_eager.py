"""Workflows of an app whose tasks run in the caller's process."""

from __future__ import annotations

import pytest
from celery import chain, chord, group
from django.db import transaction

from tests.jobs.workflow_app import make_app
from tests.jobs.workflow_tasks import register

FORMS = {
    "chain": (lambda t: chain(t.add.s(1, 1), t.add.s(2), t.note.s()), 4),
    "chord": (lambda t: chord([t.add.s(1, 1), t.add.s(2, 2)], t.gather.s()), [2, 4]),
    "group": (lambda t: group(t.note.s(1), t.note.s(2)), [1, 2]),
    "chain into group": (lambda t: chain(t.add.s(1, 1), group(t.note.s(), t.note.s())), [2, 2]),
}


@pytest.fixture
def tasks():
    return register(make_app(task_always_eager=True))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("form", FORMS)
def test_outside_a_transaction_a_workflow_runs_at_once(tasks, form):
    make, expected = FORMS[form]

    assert make(tasks).apply_async().get() == expected


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("form", FORMS)
def test_inside_a_transaction_it_runs_on_commit(tasks, form):
    make, expected = FORMS[form]
    with transaction.atomic():
        result = make(tasks).apply_async()
        assert tasks.notes == []

    assert tasks.notes != []
    assert (result.get() if form == "group" else result.result) == expected


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_rolled_back_never_runs(tasks, form):
    with pytest.raises(RuntimeError), transaction.atomic():
        FORMS[form][0](tasks).apply_async()
        raise RuntimeError("undone")

    assert tasks.notes == []
