"""A clean slate for tests of jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.jobs import job_tasks


@pytest.fixture(autouse=True)
def clean_notes() -> Iterator[None]:
    job_tasks.RAN.clear()
    job_tasks.ERRORS.clear()
    job_tasks.ANSWERS.clear()
    yield
    job_tasks.ERRORS.clear()
