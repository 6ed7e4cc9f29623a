"""A repeated POST does its work once and gets the same answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from myproject.accounts.models import User
from myproject.api.idempotency import ABANDONED_AFTER, KEPT_FOR, delete_old_records, idempotent
from myproject.api.models import IdempotencyRecord
from myproject.errors import Conflict, RetryableError

pytestmark = pytest.mark.django_db

WORK: list[str] = []


class WorkView(APIView):
    """Counts how often its work was done."""

    @idempotent()
    def post(self, request):
        if request.data.get("fail") == "conflict":
            raise Conflict("not now")
        if request.data.get("fail") == "provider":
            raise RetryableError("down", retry_after=7)
        if request.data.get("fail") == "deadlock":
            raise OperationalError(1213, "Deadlock found when trying to get lock")
        WORK.append(request.data["name"])
        return Response({"number": len(WORK)}, status=201)


class OutsideView(WorkView):
    """Calls the outside world, so its record is not part of one transaction."""

    post = idempotent(atomic=False)(WorkView.post.__wrapped__)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def no_work():
    WORK.clear()


@pytest.fixture
def user():
    return User.objects.create_user("anna@example.com", "a long password 1")


def send(user, body, *, key=None, view=WorkView):
    headers = {"HTTP_IDEMPOTENCY_KEY": key} if key is not None else {}
    request = APIRequestFactory().post("/work", body, format="json", **headers)
    force_authenticate(request, user)
    return view.as_view()(request).render()


@pytest.mark.parametrize("view", [WorkView, OutsideView])
def test_the_same_key_gets_the_first_answer_and_no_second_work(user, view):
    first = send(user, {"name": "a"}, key="k1", view=view)
    second = send(user, {"name": "a"}, key="k1", view=view)
    assert (first.status_code, first.data) == (201, {"number": 1})
    assert (second.status_code, second.data) == (201, {"number": 1})
    assert second["Idempotent-Replay"] == "true"
    assert WORK == ["a"]


def test_another_body_under_the_same_key_is_refused_and_does_nothing(user):
    send(user, {"name": "a"}, key="k1")
    response = send(user, {"name": "b"}, key="k1")
    assert response.status_code == 422
    assert response.data["code"] == "idempotency_key_reused"
    assert WORK == ["a"]


def test_two_users_may_use_the_same_key(user):
    other = User.objects.create_user("ben@example.com", "a long password 2")
    send(user, {"name": "a"}, key="k1")
    assert send(other, {"name": "b"}, key="k1").status_code == 201
    assert WORK == ["a", "b"]


@pytest.mark.parametrize("key", [None, "", "with space", "x" * 129, "naïve"])
def test_a_missing_or_malformed_key_is_refused_naming_the_header(user, key):
    response = send(user, {"name": "a"}, key=key)
    assert response.status_code == 400
    assert response.data["errors"][0]["field"] == "Idempotency-Key"
    assert response["Content-Type"] == "application/problem+json"
    assert WORK == []
    assert IdempotencyRecord.objects.count() == 0


@pytest.mark.parametrize("view", [WorkView, OutsideView])
def test_a_failed_request_may_be_tried_again_with_its_key(user, view):
    refused = send(user, {"name": "a", "fail": "conflict"}, key="k1", view=view)
    assert refused.status_code == 409
    assert IdempotencyRecord.objects.count() == 0
    assert send(user, {"name": "a"}, key="k1", view=view).status_code == 201


def test_a_retryable_failure_says_when_to_come_back_and_hides_its_reason(user):
    response = send(user, {"name": "a", "fail": "provider"}, key="k1")
    assert response.status_code == 503
    assert response["Retry-After"] == "7"
    assert "down" not in response.data["detail"]


def test_a_deadlock_asks_the_caller_to_come_back(user):
    response = send(user, {"name": "a", "fail": "deadlock"}, key="k1")
    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert "lock" not in response.data["detail"]
    assert WORK == []


def test_a_request_that_is_still_running_is_told_so(user):
    send(user, {"name": "a"}, key="k1", view=OutsideView)
    IdempotencyRecord.objects.update(response_status=None, response_body=None)
    response = send(user, {"name": "a"}, key="k1", view=OutsideView)
    assert response.status_code == 409
    assert response.data["code"] == "request_in_progress"
    assert WORK == ["a"]


def test_a_request_whose_process_died_may_be_taken_over(user):
    send(user, {"name": "a"}, key="k1", view=OutsideView)
    long_ago = timezone.now() - ABANDONED_AFTER - timedelta(seconds=1)
    IdempotencyRecord.objects.update(response_status=None, response_body=None, created_at=long_ago)
    assert send(user, {"name": "a"}, key="k1", view=OutsideView).status_code == 201
    assert WORK == ["a", "a"]


def test_old_answers_are_deleted_and_new_ones_kept(user):
    now = timezone.now()
    send(user, {"name": "a"}, key="old")
    IdempotencyRecord.objects.update(created_at=now - KEPT_FOR - timedelta(seconds=1))
    send(user, {"name": "b"}, key="new")
    assert delete_old_records(now=now) == 1
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["new"]


def test_registration_repeats_its_answer_and_keeps_no_readable_password():
    body = {"email": "new@example.com", "password": "a long password 3"}
    client = APIClient()
    first = client.post("/api/users", body, format="json", HTTP_IDEMPOTENCY_KEY="r1")
    second = client.post("/api/users", body, format="json", HTTP_IDEMPOTENCY_KEY="r1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert User.objects.filter(email="new@example.com").count() == 1
    assert "password" not in str(IdempotencyRecord.objects.values())
