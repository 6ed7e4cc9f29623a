"""A finished report, for the tests of those who show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orders.replay.plan import plan_batch
from orders.replay.reader import read_file
from orders.replay.reconciliation import reconcile
from orders.replay.report import Pace, build_report
from tests.orders.replay.files import write_mutated_file
from tests.orders.replay.test_reconciliation import make_platform, make_provider, make_work


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    """What a replay of the mutated file reports when all goes well."""
    plan = plan_batch(file=read_file(write_mutated_file(tmp_path / "mutated.csv")))
    platform = make_platform(plan)
    provider, work = make_provider(platform), make_work(plan)
    return build_report(
        plan=plan,
        platform=platform,
        provider=provider,
        work=work,
        reconciliation=reconcile(plan=plan, platform=platform, provider=provider, work=work),
        trouble=[],
        pace=Pace(seconds=2.0, orders=7, tasks=32),
    )
