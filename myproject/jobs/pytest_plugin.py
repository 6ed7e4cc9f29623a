"""The pytest fixture that runs jobs: `pytest_plugins = ["myproject.jobs.pytest_plugin"]`. See `testing.py`."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def run_jobs(db: None) -> Callable[..., object]:
    """Run the jobs of the test's database in this process, also inside the test's transaction; return what ran."""
    from myproject.jobs.testing import run_jobs as run  # noqa: PLC0415  # plugins are imported before Django is set up

    return run
