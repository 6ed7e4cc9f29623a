"""Every task: a declared queue, a docstring that answers the four questions, and names that exist."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any, cast

import pytest
from celery import Celery, Task
from celery.app.task import Task as BaseTask
from django.utils.module_loading import autodiscover_modules

from myproject.celery import abandon_cart_app, app
from myproject.jobs.aliases import OLD_TASKS, is_stand_in, planned_targets, register_aliases
from myproject.jobs.checks import OPTIONS, contradictions
from myproject.settings.celery import CELERY_BEAT_SCHEDULE, QUEUES, queue_for
from tests.architecture.sources import ROOT, functions, name_of, parse, python_files

QUESTIONS = ("Does:", "Twice:", "Retries:", "Enqueued by:")
TASK_NAME = re.compile(r"^(myproject(\.\w+)*|orders|catalog|notifications|search|carts)\.tasks\.\w+$")
LONGEST_BODY = 12


def load(celery_app: Celery) -> dict[str, Task]:
    """Return the project's own tasks of an app, after all task modules were imported."""
    autodiscover_modules("tasks")
    celery_app.finalize()
    if celery_app is app:
        register_aliases(celery_app)
    found = sorted(celery_app.tasks.items())  # they register in an order that differs from process to process
    return {name: task for name, task in found if not name.startswith(("celery.", "tests."))}


ALL = [(celery_app.main, task) for celery_app in (app, abandon_cart_app) for task in load(celery_app).values()]
OURS = [(main, task) for main, task in ALL if not is_stand_in(task)]


def ids(pairs: list[tuple[str, Task]]) -> list[str]:
    return [task.name for _, task in pairs]


def test_tasks_are_found() -> None:
    assert {"orders.tasks.process_order", "notifications.tasks.deliver_message"} <= {task.name for _, task in OURS}


@pytest.mark.parametrize(("main", "task"), ALL, ids=ids(ALL))
def test_task_goes_to_a_declared_queue(main: str, task: BaseTask) -> None:
    # Given the router and the queues of the app that the task belongs to
    celery_app = app if main == app.main else abandon_cart_app
    declared = {queue.name for queue in QUEUES if queue.app == main}

    # When a message is routed as a producer without options would send it
    options = celery_app.amqp.router.route({}, task.name, args=(), kwargs={}, task_type=cast(Any, task))

    # Then it goes to the queue of the table's row that names the task
    queue = options["queue"].name if "queue" in options else celery_app.conf.task_default_queue
    assert queue in declared
    assert queue == queue_for(task.name, app=main).name


@pytest.mark.parametrize(("main", "task"), OURS, ids=ids(OURS))
def test_task_docstring_answers_the_four_questions(main: str, task: BaseTask) -> None:
    lines = [line.strip() for line in (task.run.__doc__ or "").splitlines()]
    answers = {question: [line for line in lines if line.startswith(question)] for question in QUESTIONS}
    assert {question: len(found) for question, found in answers.items()} == dict.fromkeys(QUESTIONS, 1)
    assert [line for found in answers.values() for line in found if len(line.partition(":")[2].strip()) < 5] == []


@pytest.mark.parametrize(("main", "task"), ALL, ids=ids(ALL))
def test_what_a_task_declares_holds(main: str, task: BaseTask) -> None:
    assert list(contradictions(task)) == []


@pytest.mark.parametrize(("main", "task"), OURS, ids=ids(OURS))
def test_a_task_that_begins_again_after_an_unknown_end_says_why_that_is_safe(main: str, task: Any) -> None:
    if task.mode == "lease" and task.on_unknown == "resend":
        twice = " ".join((task.run.__doc__ or "").partition("Twice:")[2].partition("Retries:")[0].split())
        assert "died" in twice or "crash" in twice, twice


@pytest.mark.parametrize(("main", "task"), OURS, ids=ids(OURS))
def test_a_task_with_the_key_of_something_is_found_by_it(main: str, task: Any) -> None:
    named = [name for name in inspect.signature(task.run).parameters if name.endswith(("_id", "_pk"))]
    keys = set((task.business_keys or {}).values())
    assert [name for name in named if name not in keys] == []


def test_an_old_name_declares_what_its_task_declares() -> None:
    here = {task.name: task for _, task in OURS}
    differ = {
        f"{task.name}: {option}"
        for _, task in ALL
        if is_stand_in(task) and task.stands_for in here  # type: ignore[attr-defined]
        for option in OPTIONS
        if getattr(task, option) != getattr(here[task.stands_for], option)  # type: ignore[attr-defined]
    }
    assert differ == set()


def test_what_is_planned_is_promised_so_that_nothing_sent_for_it_is_lost() -> None:
    planned = [task for _, task in ALL if is_stand_in(task) and task.stands_for in planned_targets()]  # type: ignore[attr-defined]
    assert len(planned) > 20
    assert [task.name for task in planned if not task.durable] == []  # type: ignore[attr-defined]


def test_task_bodies_are_thin() -> None:
    bodies = {
        f"{name_of(path)}:{node.name}": len({line.lineno for part in node.body[1:] for line in statements(part)})
        for app_name in ("orders", "catalog", "notifications", "search")
        for path in python_files(app_name)
        if "tasks" in (path.stem, path.parent.name)
        for node in functions(parse(path))
        if any("task" in ast.unparse(decorator) for decorator in node.decorator_list)
    }
    assert {name: lines for name, lines in bodies.items() if lines > LONGEST_BODY} == {}


def statements(node: ast.AST) -> list[ast.stmt]:
    return [part for part in ast.walk(node) if isinstance(part, ast.stmt)]


def test_every_task_name_in_the_code_is_registered() -> None:
    # Given every text in the code that looks like a task's name (actions enqueue by name)
    used = {
        (node.value, name_of(path))
        for path in python_files()
        if path != ROOT / "myproject" / "jobs" / "aliases.py"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and TASK_NAME.match(node.value)
    }

    # Then each of them is a task, or the table of old names says when it comes
    known = {task.name for _, task in ALL} | set(planned_targets())
    assert sorted(pair for pair in used if pair[0] not in known) == []


def test_every_old_name_stands_for_a_task_that_is_here_or_planned() -> None:
    here = {task.name for _, task in OURS} | set(planned_targets())
    assert [(old.function, old.target) for old in OLD_TASKS if old.target not in here] == []


def test_every_schedule_names_a_registered_task() -> None:
    here = {task.name for _, task in OURS}
    assert {key: entry["task"] for key, entry in CELERY_BEAT_SCHEDULE.items() if entry["task"] not in here} == {}
