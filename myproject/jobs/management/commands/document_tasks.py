"""Write docs/tasks.md: every task with its queue, priority, limits, retries and why running it twice is safe."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from celery import Task
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from myproject.celery import app
from myproject.jobs.aliases import is_stand_in, old_names, planned_targets
from myproject.jobs.task import RETENTION
from myproject.settings.celery import CELERY_BEAT_SCHEDULE, queue_for

LABELS = ("Does", "Twice", "Retries", "Enqueued by")
HEAD = """# Tasks

Written by `manage.py document_tasks` from the code, its docstrings and the queue table in
`myproject/settings/celery.py`. Do not edit it here: `tests/jobs/test_document_tasks.py` fails when it differs from what
the command writes.

Priorities run from 0 to 9, and 9 is the most urgent. Limits are seconds: at the first a task is told to stop, at the
second its process is killed. What a caller passes to `apply_async` (`queue`, `priority`, `time_limit` ...) wins over
this table. Queue names are the defaults; the environment may rename some of them (see docs/mission.md).

Every task is a durable job (docs/jobs.md) unless its mode says `best effort`. In mode `transaction` its body and the
close of its job are one transaction. In mode `lease` it calls the outside world or runs long; `resend` says that a run
of which nobody knows how it ended is begun again, and "Running it twice" says why that does no harm. Retries are those
after errors that may pass; trouble of the database, and waiting for somebody who is away, use up none.
"""
PLANNED = """## Planned

Sent to this version, these fail at once with `TaskPlannedError`. The letters are explained in docs/mission.md.
"""


def read_labels(docstring: str | None) -> dict[str, str]:
    """Return the labelled answers of a task's docstring (Does, Twice, Retries, Enqueued by), each as one line."""
    answers: dict[str, str] = {}
    label = ""
    for line in inspect.cleandoc(docstring or "").splitlines():
        head, colon, rest = line.partition(":")
        if colon and head in LABELS:
            label = head
            answers[label] = rest.strip()
        elif label:
            answers[label] = f"{answers[label]} {line.strip()}".strip()
    return answers


def own_tasks() -> list[Task]:
    """Return the project's own tasks by name, without Celery's, old names and planned ones."""
    return [
        task
        for name, task in sorted(app.tasks.items())
        if not name.startswith(("celery.", "tests.")) and not is_stand_in(task)
    ]


def render_tasks() -> str:
    """Return the whole text of docs/tasks.md."""
    tasks = own_tasks()
    table = _table(
        ("Task", "Mode", "Queue", "Priority", "Limits", "Retries", "Running it twice", "Old names"),
        [
            (
                f"[`{task.name}`](#{_anchor(task.name)})",
                _mode(task),
                f"`{_sent_to(task)[0]}`",
                str(_sent_to(task)[1]),
                _limits(task),
                _retries(task),
                read_labels(task.__doc__).get("Twice", ""),
                ", ".join(f"`{name}`" for name in old_names(task.name)),
            )
            for task in tasks
        ],
    )
    planned = _table(
        ("Task", "Part", "Queue", "Old names"),
        [
            (f"`{name}`", part, f"`{queue_for(name).name}`", ", ".join(f"`{old}`" for old in old_names(name)))
            for name, part in sorted(planned_targets().items())
        ],
    )
    details = "\n".join(_details(task) for task in tasks)
    return f"{HEAD}\n{table}\n{details}\n{PLANNED}\n{planned}"


def _details(task: Task) -> str:
    answers = read_labels(task.__doc__)
    summary = inspect.cleandoc(task.__doc__ or "").partition("\n")[0]
    schedules = [key for key, entry in CELERY_BEAT_SCHEDULE.items() if entry["task"] == task.name]
    lines = [f"## {task.name}", "", f"`{task.name.rpartition('.')[2]}{_signature(task)}`: {summary}", ""]
    lines += [f"- {label}: {answers.get(label, '')}" for label in LABELS]
    lines += _declared(task)
    lines += [f"- Schedule: {', '.join(f'`{key}`' for key in schedules)}"] if schedules else []
    return "\n".join([*lines, ""])


def _mode(task: Task) -> str:
    declared: Any = task
    if not declared.durable:
        return "best effort"
    return f"`lease`, `{declared.on_unknown}`" if declared.mode == "lease" else "`transaction`"


def _declared(task: Task) -> list[str]:
    """Return a line for everything that a task declares beside its mode."""
    declared: Any = task
    lines = []
    if declared.business_keys:
        keys = ", ".join(f"`{key}` (`{argument}`)" for key, argument in sorted(declared.business_keys.items()))
        lines.append(f"- Found by: {keys}")
    if declared.unique:
        names = "all its arguments" if declared.unique is True else ", ".join(f"`{name}`" for name in declared.unique)
        lines.append(f"- At most one open job: by {names}; policy `{declared.unique_policy}`")
    if declared.concurrency_key:
        lines.append(f"- One at a time: by {', '.join(f'`{name}`' for name in declared.concurrency_key)}")
    if declared.retention != RETENTION:
        lines.append(f"- Outcome kept: {declared.retention:,} s")
    return lines


def _signature(task: Task) -> str:
    """Return the arguments of a task as a caller writes them."""
    run: Any = getattr(task, "_orig_run", task.run)
    signature = inspect.signature(run)
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


def _sent_to(task: Task) -> tuple[str, int]:
    """Return the queue and the priority of a message, asked of Celery's own router as a sender does."""
    options: Any = {"priority": task.priority, "queue": getattr(task, "queue", None)}
    route = app.amqp.router.route(options, task.name, args=(), kwargs={}, task_type=type(task))
    return route["queue"].name, route["priority"]


def _limits(task: Task) -> str:
    return f"{task.soft_time_limit} / {task.time_limit}"


def _retries(task: Task) -> str:
    declared: Any = task
    if not declared.max_retries:
        return "none" if declared.max_retries == 0 else "without end"
    if not getattr(declared, "autoretry_for", ()):
        return f"up to {declared.max_retries}, by its own rule"
    backoff = getattr(declared, "retry_backoff", False)
    pause = f"{float(backoff):g}-{declared.retry_backoff_max} s apart" if backoff else "at once"
    return f"up to {declared.max_retries}, {pause}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _anchor(heading: str) -> str:
    return "".join(letter for letter in heading.lower() if letter.isalnum() or letter in "-_ ").replace(" ", "-")


class Command(BaseCommand):
    """Writes docs/tasks.md, or with --check tells whether it is current."""

    help = "Write docs/tasks.md, the table of every task. With --check, write nothing and fail when it is not current."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--check", action="store_true", help="compare only; exit status 1 when it differs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the file, or compare it."""
        path = Path(settings.BASE_DIR) / "docs" / "tasks.md"
        text = render_tasks()
        if not options["check"]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            self.stdout.write(f"{path.relative_to(settings.BASE_DIR)} written")
        elif not path.exists() or path.read_text() != text:
            raise CommandError("docs/tasks.md is not current: run `manage.py document_tasks`")
