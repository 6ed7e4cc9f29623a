"""People and programs sign in; nobody learns what is not theirs."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client, override_settings
from django.utils import timezone
from knox.models import get_token_model
from rest_framework.test import APIClient

from myproject.accounts.actions import ensure_admin, ensure_service_account
from myproject.accounts.models import User
from myproject.accounts.tasks import cleanup_sessions

pytestmark = pytest.mark.django_db

PASSWORD = "a long password 1"


def register(client: APIClient, key: str = "r1", **changes: str):
    body = {"email": "Anna@Example.com", "password": PASSWORD, "full_name": "Anna Berg", **changes}
    return client.post("/api/users", body, format="json", HTTP_IDEMPOTENCY_KEY=key)


def test_mail_addresses_are_one_account_in_any_case():
    User.objects.create_user("Anna@Example.com", PASSWORD)
    assert User.objects.get_by_natural_key("ANNA@example.com").email == "anna@example.com"


def test_a_user_needs_an_address():
    with pytest.raises(ValueError, match="email"):
        User.objects.create_user("")


def test_registration_makes_the_account_and_welcomes_once(sent):
    assert register(APIClient()).status_code == 201
    assert register(APIClient()).status_code == 201  # the same request again
    user = User.objects.get(email="anna@example.com")
    assert sent() == [("notifications.tasks.send_welcome_email", user.pk)]
    assert mail.outbox == []


@pytest.mark.parametrize(("field", "value"), [("email", "no-address"), ("password", "short"), ("password", "password")])
def test_a_registration_that_cannot_be_accepted_names_the_field_and_makes_nothing(field, value):
    response = register(APIClient(), **{field: value})
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert User.objects.count() == 0


def test_a_taken_address_is_refused_and_the_account_is_left_alone():
    register(APIClient())
    response = register(APIClient(), key="r2", password="another long password 2")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "email"
    assert User.objects.get().check_password(PASSWORD)


def test_a_person_signs_in_and_out_by_token():
    User.objects.create_user("anna@example.com", PASSWORD)
    client = APIClient()
    answer = client.post("/api/auth/token", {"email": "Anna@example.com", "password": PASSWORD}, format="json")
    assert answer.status_code == 200
    client.credentials(HTTP_AUTHORIZATION=f"Token {answer.json()['token']}")
    assert client.get("/api/tasks/unknown").status_code == 404
    assert client.post("/api/auth/logout").status_code == 204
    assert client.get("/api/tasks/unknown").status_code == 401


@pytest.mark.parametrize(("email", "password"), [("anna@example.com", "wrong"), ("nobody@example.com", PASSWORD)])
def test_a_wrong_password_and_an_unknown_address_look_alike(email, password):
    User.objects.create_user("anna@example.com", PASSWORD)
    answer = APIClient().post("/api/auth/token", {"email": email, "password": password}, format="json")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Token"
    assert answer.json()["detail"] == "Mail address and password do not belong together."


def test_an_administrator_is_made_once_and_follows_its_password():
    first = ensure_admin(email="ops@example.com", password=PASSWORD)
    second = ensure_admin(email="OPS@example.com", password="another long password 2")
    assert first.pk == second.pk
    assert User.objects.get().check_password("another long password 2")


def test_a_service_account_has_one_token_its_permission_and_no_password():
    token = "0123456789abcdef" * 4
    ensure_service_account(email="feeds@example.com", token="f" * 64, permissions=("orders.import_orders",))
    user = ensure_service_account(email="feeds@example.com", token=token, permissions=("orders.import_orders",))
    assert User.objects.get(pk=user.pk).get_all_permissions() == {"orders.import_orders"}
    assert not user.has_usable_password()
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    assert client.get("/api/tasks/unknown").status_code == 404
    client.credentials(HTTP_AUTHORIZATION="Token " + "f" * 64)
    assert client.get("/api/tasks/unknown").status_code == 401


def test_a_service_account_does_not_sign_in_by_password():
    user = User.objects.create_user("feeds@example.com", PASSWORD, is_service=True, is_staff=True)
    answer = APIClient().post("/api/auth/token", {"email": user.email, "password": PASSWORD}, format="json")
    assert answer.status_code == 401
    assert get_token_model().objects.count() == 0

    browser = Client()
    page = browser.post("/admin/login/", {"username": user.email, "password": PASSWORD, "next": "/admin/"})
    assert page.status_code == 200  # the form again
    assert not browser.login(username=user.email, password=PASSWORD)
    assert Session.objects.count() == 0


def test_a_person_who_becomes_a_service_account_is_signed_out():
    user = User.objects.create_user("ops@example.com", PASSWORD, is_staff=True)
    browser = Client()
    assert browser.login(username=user.email, password=PASSWORD)
    assert browser.get("/admin/").status_code == 200
    User.objects.update(is_service=True)
    assert browser.get("/admin/").status_code == 302


def test_the_nightly_clean_up_deletes_what_expired_and_nothing_else():
    now = timezone.now()
    Session.objects.create(session_key="old", session_data="", expire_date=now - timedelta(days=1))
    Session.objects.create(session_key="new", session_data="", expire_date=now + timedelta(days=1))
    assert cleanup_sessions() == {"sessions": 1, "answers": 0, "receipts": 0}
    assert cleanup_sessions() == {"sessions": 0, "answers": 0, "receipts": 0}
    assert list(Session.objects.values_list("session_key", flat=True)) == ["new"]


@override_settings(ALLOWED_HOSTS=["testserver"])
def test_basic_credentials_do_not_open_the_api():
    User.objects.create_user("anna@example.com", PASSWORD)
    header = "Basic " + base64.b64encode(f"anna@example.com:{PASSWORD}".encode()).decode()
    assert APIClient().get("/api/tasks/x", HTTP_AUTHORIZATION=header).status_code == 401
