"""docs/tasks.md says what the code does."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from myproject.jobs.management.commands import document_tasks
from myproject.jobs.management.commands.document_tasks import own_tasks, read_labels, render_tasks

DOCSTRING = """Settle an order.

    Does: books the capture: once,
    with its ledger entries.
    Twice: finds the order paid.
    Retries: never.
    Enqueued by: the webhook.
    """


def test_docs_tasks_is_current():
    call_command("document_tasks", check=True)


def test_a_change_in_the_code_is_noticed(monkeypatch):
    monkeypatch.setattr(document_tasks, "render_tasks", lambda: "something else")

    with pytest.raises(CommandError, match="not current"):
        call_command("document_tasks", check=True)


def test_labels_of_a_docstring_are_read_with_their_continuation():
    assert read_labels(DOCSTRING) == {
        "Does": "books the capture: once, with its ledger entries.",
        "Twice": "finds the order paid.",
        "Retries": "never.",
        "Enqueued by": "the webhook.",
    }


@pytest.mark.parametrize("task", own_tasks(), ids=lambda task: task.name)
def test_every_task_has_a_row_with_its_queue(task):
    queue = task.app.amqp.router.route({}, task.name, task_type=task)["queue"].name
    rows = [line for line in render_tasks().splitlines() if line.startswith(f"| [`{task.name}`]")]

    assert len(rows) == 1
    assert f"| `{queue}` |" in rows[0]
