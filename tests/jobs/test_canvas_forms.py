"""Every form of a workflow, its jobs run from their rows: in order, shuffled, with every message delivered twice."""

from __future__ import annotations

import pytest

from myproject.jobs import chords
from tests.jobs.workflow_app import Workshop
from tests.jobs.workflow_forms import FORMS

pytestmark = pytest.mark.django_db

ORDERS = {
    "in order": {},
    "shuffled": {"shuffled": True},
    "twice": {"twice": True},
    "twice and shuffled": {"twice": True, "shuffled": True},
}


@pytest.fixture(params=ORDERS)
def drain(app, request):
    shop = Workshop(app, seed=7)

    def run():
        shop.drain(**ORDERS[request.param])
        return shop

    return run


@pytest.mark.parametrize("form", FORMS)
def test_a_workflow_of_this_form_comes_to_its_result(tasks, drain, form):
    make, expected = FORMS[form]

    result = make(tasks).apply_async()
    shop = drain()

    assert result.get(timeout=5) == expected
    assert shop.count("gather") <= 1


@pytest.mark.parametrize("form", FORMS)
def test_it_does_so_with_every_body_kept_and_all_results_by_reference(tasks, app, monkeypatch, form):
    monkeypatch.setattr(chords, "REPEATED_BODY", 0)
    monkeypatch.setattr(chords, "CARRIED_RESULTS", 0)
    make, expected = FORMS[form]

    result = make(tasks).apply_async()
    Workshop(app, seed=3).drain(shuffled=True)

    assert result.get(timeout=5) == expected
