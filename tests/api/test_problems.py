"""Every error under /api and /webhooks is a problem, whoever refuses the request: the server, Django or a view."""

from __future__ import annotations

import base64

import pytest
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError, connection
from django.test import RequestFactory
from rest_framework.test import APIClient

from myproject.accounts.models import User
from myproject.api.models import IdempotencyRecord
from myproject.api.problems import forbidden, server_error
from tests.orders.factories import make_service_account

pytestmark = pytest.mark.django_db

LIMIT = 2 * 1024 * 1024
JSON = "application/json"
KEY = {"Idempotency-Key": "k1"}


@pytest.fixture
def client():
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(User.objects.create_user("anna@example.com", "a long password 1"))
    return client


def check(answer, status, code):
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    return problem


@pytest.mark.parametrize(
    ("method", "path"), [("post", "/api/orders"), ("post", "/api/users"), ("put", "/api/cart/lines/x")]
)
def test_a_body_over_the_limit_is_told_the_limit(client, method, path):
    body = b'{"cart": "' + b"x" * LIMIT + b'"}'
    answer = getattr(client, method)(path, body, content_type=JSON, headers=KEY)
    assert str(LIMIT) in check(answer, 413, "too_large")["detail"]
    assert IdempotencyRecord.objects.count() == 0


@pytest.mark.parametrize(("method", "path"), [("post", "/api/orders"), ("put", "/api/cart/lines/x")])
def test_a_body_nested_too_deeply_cannot_be_read(client, method, path):
    answer = getattr(client, method)(path, b"[" * 200_000 + b"]" * 200_000, content_type=JSON, headers=KEY)
    assert "nested too deeply" in check(answer, 400, "parse_error")["detail"]


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"cart": NaN}'])
def test_a_body_that_is_not_json_cannot_be_read(client, body):
    check(client.post("/api/orders", body, content_type=JSON, headers=KEY), 400, "parse_error")


@pytest.mark.parametrize("path", ["/api/cart", "/api/nothing", "/webhooks/juspay"])
def test_a_wrong_host_is_a_problem(client, path):
    check(client.get(path, headers={"Host": "evil.example"}), 400, "bad_request")


def test_a_wrong_host_of_a_page_is_a_page(client):
    answer = client.get("/", headers={"Host": "evil.example"})
    assert (answer.status_code, answer["Content-Type"]) == (400, "text/html; charset=utf-8")


def test_what_django_forbids_is_a_problem():
    check_of = forbidden(RequestFactory().get("/api/cart"), PermissionDenied())
    assert (check_of.status_code, check_of["Content-Type"]) == (403, "application/problem+json")


@pytest.mark.parametrize("path", ["/api/nothing", "/webhooks/nothing"])
def test_an_address_that_does_not_exist_is_a_problem(client, path):
    check(client.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/api/cart", "/api/schema"])
def test_a_method_that_does_not_exist_is_a_problem_that_names_those_that_do(client, path):
    answer = client.post(path, {}, format="json")
    check(answer, 405, "method_not_allowed")
    assert "GET" in answer["Allow"]


def test_a_webhook_is_sent_by_post(client):
    answer = client.get("/webhooks/juspay")
    check(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "POST"


def test_a_form_that_is_not_offered_is_a_problem(client):
    check(client.get("/api/cart", headers={"Accept": "text/csv"}), 406, "not_acceptable")


def test_a_body_in_another_format_is_a_problem(client):
    check(client.put("/api/cart/lines/x", b"quantity=1", content_type="text/plain"), 415, "unsupported_media_type")


def test_without_a_token_the_scheme_is_named():
    answer = APIClient().get("/api/cart")
    check(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize("path", ["/api/imports/orders", "/api/imports/cancellations", "/api/orders", "/api/users"])
@pytest.mark.parametrize("body", [b"{}", b"{", b'{"lines": 1}'])
def test_a_missing_key_is_told_before_the_body_is_looked_at(path, body):
    client = APIClient()
    client.force_authenticate(make_service_account())
    problem = check(client.post(path, body, content_type=JSON), 400, "idempotency_key_missing")
    assert [error["field"] for error in problem["errors"]] == ["Idempotency-Key"]


@pytest.mark.parametrize("path", ["/api/imports/orders", "/api/imports/cancellations"])
def test_with_its_key_an_imported_document_is_looked_at_before_anything_is_written(path, django_assert_num_queries):
    client = APIClient()
    account = make_service_account()
    account.has_perm("orders.import_orders")  # permissions are cached on the account
    client.force_authenticate(account)
    with django_assert_num_queries(0):
        check(client.post(path, b"{}", content_type=JSON, headers=KEY), 422, "invalid_input")


#: How MariaDB and SQLite refuse for a while: read-only, no connection, no space (in a table, in a file), lost.
REFUSALS = [
    OperationalError(1290, "The MariaDB server is running with the --read-only option"),
    OperationalError(1040, "Too many connections"),
    OperationalError(1114, "The table 'orders_order' is full"),
    InternalError(14, "Can't change size of file (Errcode: 28)"),
    OperationalError("database or disk is full"),
    InterfaceError(0, ""),
]


def refusing(error):
    """Return a wrapper of statements under which the database refuses whatever would write."""

    def wrapper(execute, sql, params, many, context):
        if sql.startswith(("INSERT", "UPDATE")):
            raise error
        return execute(sql, params, many, context)

    return wrapper


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error)[:30])
def test_a_database_that_refuses_is_a_reason_to_come_again(client, error):
    with connection.execute_wrapper(refusing(error)):
        answer = client.post("/api/orders", {"cart": 1}, format="json", headers=KEY)
    check(answer, 503, "try_again")
    assert answer["Retry-After"] == "1"
    assert IdempotencyRecord.objects.count() == 0


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error)[:30])
def test_a_view_of_djangos_own_says_the_same(client, settings, error):
    body = {"id": "evt_1", "event_name": "ORDER_SUCCEEDED", "content": {"order": {"order_id": "P1X1"}}}
    name, password = settings.JUSPAY_WEBHOOK_USER, settings.JUSPAY_WEBHOOK_PASSWORD
    sender = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
    with connection.execute_wrapper(refusing(error)):
        answer = client.post("/webhooks/juspay", body, format="json", headers={"Authorization": sender})
    check(answer, 503, "try_again")
    assert answer["Retry-After"] == "1"


def test_a_page_says_when_to_come_again():
    try:
        raise OperationalError(1040, "Too many connections")
    except OperationalError:
        answer = server_error(RequestFactory().get("/admin/"))
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")


@pytest.mark.parametrize(
    "error", [ProgrammingError(1146, "no such table"), OperationalError(1054, "no such column"), ValueError()]
)
def test_what_will_not_pass_is_an_error_of_ours(error):
    try:
        raise error
    except Exception:
        answer = server_error(RequestFactory().get("/admin/"))
    assert (answer.status_code, "Retry-After" in answer) == (500, False)
