"""Loaded by the worker under test with `celery worker -I`: the tests' tasks on the project's own app."""

from myproject.celery import app
from tests.compatibility.durable.tasks import connect_signals, register

register(app)
connect_signals()
