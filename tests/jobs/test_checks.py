"""A declaration that contradicts itself stops the start."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from myproject.celery import abandon_cart_app
from myproject.celery import app as project
from myproject.jobs.checks import check_tasks, contradictions
from tests.jobs.job_tasks import app


def declare(**options: Any) -> Any:
    @app.task(shared=False, name=f"t.checked.{len(app.tasks)}", **options)
    def checked(order_id: int) -> None:
        """Nothing."""

    return app.tasks[checked.name]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "leas"}, "mode is 'leas': it is one of transaction, lease."),
        ({"mode": "lease"}, "on_unknown is None: with mode='lease' it is one of lookup, resend, park."),
        ({"mode": "lease", "on_unknown": "again"}, "on_unknown is 'again'"),
        ({"on_unknown": "resend"}, "on_unknown and look_up are for mode='lease'"),
        ({"mode": "lease", "on_unknown": "lookup"}, "look_up (a function of the task's arguments) belongs to"),
        ({"mode": "lease", "on_unknown": "resend", "look_up": print}, "belongs to on_unknown='lookup', and only there"),
        ({"mode": "lease", "on_unknown": "lookup", "look_up": "no.such"}, "look_up names 'no.such'"),
        ({"mode": "lease", "on_unknown": "park", "lease": 0}, "lease is 0: it is a number of seconds above 0."),
        ({"unique": ("customer",)}, "unique names 'customer', which is no argument; they are order_id."),
        ({"unique": True, "unique_policy": "first"}, "unique_policy is 'first': it is one of skip, replace, extend."),
        ({"concurrency_key": ["customer"]}, "concurrency_key names 'customer', which is no argument"),
        ({"business_keys": {"order": "number"}}, "business_keys: 'order' is the argument 'number'"),
        ({"max_attempts": 0}, "max_attempts is 0: it is a number from 1."),
        ({"retention": -1}, "retention is -1: it is a number of seconds above 0."),
        ({"serializer": "pickle"}, "serializer is 'pickle': jobs are JSON"),
        (
            {"durable": False, "mode": "lease", "lease": 3.0},
            "best effort (durable=False) and declares lease, mode",
        ),
    ],
)
def test_a_contradiction_is_told_with_its_remedy(options, sentence):
    found = list(contradictions(declare(**options)))
    assert len(found) == 1, found
    assert sentence in found[0]


def test_what_fits_together_is_fine():
    assert list(contradictions(declare())) == []
    whole = {"unique": ("order_id",), "concurrency_key": ("order_id",), "business_keys": {"order": "order_id"}}
    assert list(contradictions(declare(mode="lease", on_unknown="park", **whole))) == []
    assert list(contradictions(declare(durable=False, serializer="pickle"))) == []


def test_the_check_names_the_task():
    wrong = declare(mode="lease")
    messages = check_tasks([SimpleNamespace(main="myproject", tasks={wrong.name: wrong})])
    assert [message.id for message in messages] == ["jobs.E001"]
    assert messages[0].msg.startswith(f"{wrong.name}: on_unknown is None")


def test_every_task_of_the_project_is_declared_well():
    assert check_tasks([project, abandon_cart_app]) == []
