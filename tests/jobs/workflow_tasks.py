"""The tasks of the workflow tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from celery import Celery, Task, chain, group

PREFIX = "workflows."


class Refused(Exception):
    """What failing tasks raise."""


def register(app: Celery) -> SimpleNamespace:
    """Declare the tasks on an app; `notes` is what their bodies wrote down."""
    notes: list[Any] = []
    switch = {"fails": True}  # what `switched` obeys
    tasks: dict[str, Any] = {"notes": notes, "switch": switch}

    def task(**options: Any) -> Any:
        def declare(body: Any) -> Task:
            tasks[body.__name__] = app.task(body, name=PREFIX + body.__name__, shared=False, **options)  # type: ignore[call-overload]
            return tasks[body.__name__]

        return declare

    @task()
    def add(a: int, b: int) -> int:
        return a + b

    @task()
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @task()
    def gather(results: Any) -> Any:
        notes.append(results)
        return results

    @task()
    def note(what: Any) -> Any:
        notes.append(what)
        return what

    @task()
    def fail(message: str = "refused") -> None:
        raise Refused(message)

    @task(ignore_result=True)
    def ignored(value: Any) -> Any:
        return value

    @task()
    def sum_all(*numbers: int) -> int:
        return sum(numbers)

    @task(bind=True)
    def flaky(self: Task, fails: int, value: Any = "done") -> Any:
        if self.request.retries < fails:
            raise self.retry(countdown=0, exc=Refused("once more"))
        return value

    @task(bind=True)
    def retries_quietly(self: Task) -> str:
        if self.request.retries == 0:
            self.retry(countdown=0, throw=False)
        return f"after {self.request.retries}"

    @task(bind=True)
    def replaced(self: Task, value: int, how: str) -> Any:
        notes.append(f"replaced by {how}")
        if how == "task":
            raise self.replace(add.s(value, 100))
        if how == "chain":
            raise self.replace(chain(add.s(value, 1), add.s(1000)))
        if how == "group":
            raise self.replace(group(add.s(value, 1), add.s(value, 2)))
        if how == "chord":
            raise self.replace(group(add.s(value, 1), add.s(value, 2)) | total.s())
        raise self.replace(replaced.s(value + 1, {"thrice": "twice", "twice": "task"}[how]))

    @task(bind=True)
    def adds_part(self: Task, value: int) -> int:
        self.add_to_chord(add.s(value, 1000))
        return value

    @task()
    def on_error(request: Any, error: Any, traceback: Any, key: str = "") -> None:
        notes.append(("new", getattr(request, "id", request), type(error).__name__, key))

    @task()
    def on_error_by_id(failed_id: str) -> None:
        notes.append(("old", failed_id))

    @task()
    def on_error_that_fails(request: Any, error: Any, traceback: Any) -> None:
        raise Refused("the callback itself")

    @task()
    def switched(value: Any) -> Any:
        if switch["fails"]:
            raise Refused("off")
        return value

    @task(durable=False)
    def best_effort(value: Any) -> Any:
        notes.append(value)
        return value

    return SimpleNamespace(**tasks)
