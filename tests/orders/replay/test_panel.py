"""The home page says in words what became of the file that finished last."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.template.loader import render_to_string

from orders.models import ImportBatch
from orders.queries.batches import latest_reconciliation
from orders.states import BatchStatus
from tests.orders.factories import NOW

pytestmark = pytest.mark.django_db


def add_batch(name: str, *, status: BatchStatus, started: int, finished: int | None, report: Any = None) -> None:
    """Add a batch that started and finished so many minutes after noon."""
    ImportBatch.objects.create(
        content_hash=name,
        source=f"retail-{name}",
        filename=f"{name}.csv",
        status=status,
        report=report,
        started_at=NOW + timedelta(minutes=started),
        finished_at=None if finished is None else NOW + timedelta(minutes=finished),
    )


def render() -> str:
    return render_to_string("orders/reconciliation_panel.html", {"panel": latest_reconciliation()})


def test_a_reconciled_file_is_green_with_all_its_rows(report: dict[str, Any]) -> None:
    add_batch("good", status=BatchStatus.RECONCILED, started=0, finished=1, report=report)

    page = render()

    assert 'class="figure reconciled"' in page
    assert "<strong>reconciled</strong>: every amount" in page
    assert "Rejected rows: 15" in page
    assert "line 19: quantity is not a whole number: &#x27;2.5&#x27;" in page
    assert "captured for orders" in page
    assert f"All {len(report['comparisons'])} comparisons" in page
    assert "provider payments the platform does not know" in page
    assert "<details>" in page
    assert "Stuck or differing" not in page


def test_a_file_that_differs_in_no_money_is_not_green(report: dict[str, Any]) -> None:
    report["comparisons"][0][-1] = report["comparisons"][1][-1] = "1"
    report["differing"] = ["order 700018: not on the platform"]
    add_batch("bad", status=BatchStatus.DIFFERENT, started=0, finished=1, report=report)

    page = render()

    assert 'class="figure different">difference 0.00' in page
    assert "<strong>not reconciled: 2 figures differ</strong>" in page
    assert "order 700018: not on the platform" in page
    assert "<details open>" in page


def test_the_file_that_finished_last_is_shown(report: dict[str, Any]) -> None:
    add_batch("long", status=BatchStatus.RECONCILED, started=0, finished=30, report=report)
    add_batch("short", status=BatchStatus.RECONCILED, started=10, finished=20, report=report)
    assert "long.csv" in render()

    add_batch("new", status=BatchStatus.RUNNING, started=40, finished=None)
    assert "<strong>new.csv</strong> is being replayed since" in render()


def test_a_file_that_is_taken_up_again_says_whose_figures_these_are(report: dict[str, Any]) -> None:
    add_batch("again", status=BatchStatus.RUNNING, started=0, finished=1, report=report)

    page = render()

    assert "being replayed again; this is what the run before found" in page
    assert 'class="figure different"' in page
