"""Who may call: the key as user with an empty password, and the merchant's header (providers, 1.1 and 1.5)."""

import httpx
import pytest

from tests.sandbox.merchant import KEY, MERCHANT, Sandbox, next_id

pytestmark = pytest.mark.server

CALLS = [
    ("POST", "/session"),
    ("POST", "/orders"),
    ("GET", "/orders/O1"),
    ("POST", "/orders/O1/refunds"),
    ("POST", "/refunds"),
    ("GET", "/sandbox/record"),
    ("GET", "/sandbox/record/totals"),
]


def test_key_as_user_and_empty_password_are_accepted(sandbox: Sandbox) -> None:
    assert sandbox.session(next_id()).status_code == 200


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        (None, {"x-merchantid": MERCHANT}),
        (("another-key", ""), {"x-merchantid": MERCHANT}),
        ((KEY, "not-empty"), {"x-merchantid": MERCHANT}),
        ((KEY, ""), {}),
        ((KEY, ""), {"x-merchantid": "another"}),
        (None, {"x-merchantid": MERCHANT, "Authorization": f"Bearer {KEY}"}),
        (None, {"x-merchantid": MERCHANT, "Authorization": "Basic !!!"}),
    ],
    ids=["none", "wrong key", "password", "no merchant", "other merchant", "bearer", "no base64"],
)
def test_anything_else_is_denied(
    sandbox: Sandbox, method: str, path: str, auth: tuple[str, str] | None, headers: dict[str, str]
) -> None:
    with httpx.Client(base_url=sandbox.url) as stranger:
        answer = stranger.request(method, path, auth=auth, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["status"] == "error"
    assert answer.json()["error_code"] == "access_denied"
    assert answer.json()["error_info"]["code"] == "UNAUTHORIZED"


def test_denied_call_applies_nothing(sandbox: Sandbox) -> None:
    order_id = next_id()

    answer = httpx.post(f"{sandbox.url}/session", json={"order_id": order_id}, auth=("another-key", ""))

    assert answer.status_code == 401
    assert sandbox.entries(order_id) == []


def test_routing_id_and_version_are_optional_and_change_nothing(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order()

    with_headers = sandbox.http.get(f"/orders/{order_id}", headers={"x-routing-id": "c1", "version": "2023-06-30"})

    assert with_headers.json() == sandbox.status(order_id)


@pytest.mark.parametrize(("method", "path"), [("GET", "/session"), ("PUT", "/orders/O1"), ("GET", "/refunds")])
def test_wrong_method_is_refused(sandbox: Sandbox, method: str, path: str) -> None:
    answer = sandbox.http.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["Allow"] in ("GET", "POST")


def test_only_documented_addresses_exist(sandbox: Sandbox) -> None:
    answer = sandbox.http.get("/v4/order-status")

    assert (answer.status_code, answer.json()) == (404, {"status": "error", "error_code": "not_found"})


def test_health_needs_no_key(sandbox: Sandbox) -> None:
    answer = httpx.get(f"{sandbox.url}/health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert answer.json()["background_threads"] == 5
