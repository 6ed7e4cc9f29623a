"""The state of a task is told to the user who asked for it, and to nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import current_app
from celery.result import AsyncResult
from django.utils import timezone
from rest_framework.test import APIClient

from myproject.accounts.models import User
from myproject.api import receipts
from myproject.api.models import TaskReceipt
from myproject.api.receipts import record_receipt
from myproject.jobs.sending import enqueue

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def anna():
    return User.objects.create_user("anna@example.com", "a long password 1")


@pytest.fixture
def client(anna):
    client = APIClient()
    client.force_authenticate(anna)
    return client


def receipt(user, task_id="t1"):
    return record_receipt(task_id=task_id, task_name="orders.tasks.process_order", user=user, subject="W1", now=NOW)


def store(task_id, value, state):
    current_app.backend.store_result(task_id, value, state)
    assert AsyncResult(task_id).state == state


def test_the_owner_reads_state_and_progress(anna, client):
    receipt(anna)
    store("t1", {"current": 3, "total": 9}, "PROGRESS")
    body = client.get("/api/tasks/t1").json()
    assert (body["id"], body["state"], body["ready"], body["subject"]) == ("t1", "PROGRESS", False, "W1")
    assert body["progress"] == {"current": 3, "total": 9}


def test_a_failure_is_told_by_its_kind_and_not_by_its_text(anna, client):
    receipt(anna)
    store("t1", ValueError("card 4111 of anna"), "FAILURE")
    body = client.get("/api/tasks/t1").json()
    assert (body["state"], body["error"]) == ("FAILURE", "ValueError")
    assert "card 4111" not in str(body)


def make_it_old(settings):
    settings.CELERY_RESULT_EXPIRES = 3600
    TaskReceipt.objects.update(created_at=timezone.now() - timedelta(days=9))


def test_a_task_whose_result_was_dropped_is_expired_and_not_pending(anna, client, settings):
    receipt(anna, task_id="nine-days-old")
    make_it_old(settings)
    body = client.get("/api/tasks/nine-days-old").json()
    assert (body["state"], body["ready"], body["error"]) == ("EXPIRED", True, None)


def test_a_job_that_waits_is_pending_however_old_its_receipt(anna, client, settings, run_jobs):
    enqueue("orders.tasks.process_order", 7, task_id="waits")
    receipt(anna, task_id="waits")
    make_it_old(settings)
    body = client.get("/api/tasks/waits").json()
    assert (body["state"], body["ready"]) == ("PENDING", False)
    run_jobs()
    assert client.get("/api/tasks/waits").json()["state"] == "SUCCESS"


def test_a_task_that_is_still_known_keeps_its_state_however_old(anna, client, settings):
    receipt(anna, task_id="known")
    make_it_old(settings)
    store("known", None, "SUCCESS")
    assert client.get("/api/tasks/known").json()["state"] == "SUCCESS"


def test_a_task_that_was_just_sent_is_pending(anna, client):
    receipt(anna, task_id="new")
    body = client.get("/api/tasks/new").json()
    assert (body["state"], body["ready"]) == ("PENDING", False)


def test_another_users_task_and_an_unknown_one_are_both_not_found(client):
    other = User.objects.create_user("ben@example.com", "a long password 2")
    receipt(other)
    theirs, unknown = client.get("/api/tasks/t1"), client.get("/api/tasks/nothing")
    assert (theirs.status_code, unknown.status_code) == (404, 404)
    assert theirs.json() == unknown.json()


def test_a_receipt_is_kept_once(anna):
    receipt(anna)
    receipt(anna)
    assert TaskReceipt.objects.count() == 1


def test_without_a_token_nothing_is_told():
    answer = APIClient().get("/api/tasks/t1")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"


def test_receipts_of_jobs_that_are_gone_go_after_three_months(anna, monkeypatch):
    monkeypatch.setattr(receipts, "BATCH", 2)
    for number in range(5):
        receipt(anna, f"old {number}")
    enqueue("myproject.accounts.tasks.cleanup_sessions", task_id="kept")
    receipt(anna, "kept")
    TaskReceipt.objects.update(created_at=NOW - receipts.KEPT_FOR - timedelta(minutes=1))
    receipt(anna, "young")
    assert receipts.delete_old_receipts(now=NOW) == 5
    assert set(TaskReceipt.objects.values_list("task_id", flat=True)) == {"kept", "young"}
    assert receipts.delete_old_receipts(now=NOW) == 0
