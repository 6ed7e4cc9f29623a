"""A clean slate for tests of jobs; the app, the tasks and the workers of those on workflows."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from celery import Celery

from tests.jobs import job_tasks
from tests.jobs.workflow_app import Workshop, make_app, quiet
from tests.jobs.workflow_tasks import register


@pytest.fixture(autouse=True)
def clean_notes() -> Iterator[None]:
    job_tasks.RAN.clear()
    job_tasks.ERRORS.clear()
    job_tasks.ANSWERS.clear()
    yield
    job_tasks.ERRORS.clear()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    """An app on the jobs' rows that publishes nothing."""
    quiet(monkeypatch)
    return make_app()


@pytest.fixture
def tasks(app: Celery) -> SimpleNamespace:
    """The workflows' tasks on that app; `notes` is what their bodies wrote down."""
    return register(app)


@pytest.fixture
def shop(app: Celery) -> Workshop:
    """The workers of that app."""
    return Workshop(app)
