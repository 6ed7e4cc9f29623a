"""The documentation of the API names the required header and the errors of every endpoint."""

from __future__ import annotations

import pytest
from drf_spectacular.generators import SchemaGenerator

METHODS = {"get", "post", "put", "patch", "delete"}
TAKE_NO_KEY = {"/api/auth/token", "/api/auth/logout"}


@pytest.fixture(scope="module")
def operations():
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return {
        (method, path): found for path, item in paths.items() for method, found in item.items() if method in METHODS
    }


def keys(operation):
    return [found for found in operation.get("parameters", ()) if found["name"] == "Idempotency-Key"]


def test_every_post_but_those_about_tokens_requires_the_key_once(operations):
    posts = {path: keys(found) for (method, path), found in operations.items() if method == "post"}
    assert {path for path, found in posts.items() if not found} == TAKE_NO_KEY
    assert {path: len(found) for path, found in posts.items() if found and len(found) > 1} == {}
    assert all(found[0]["required"] and found[0]["in"] == "header" for found in posts.values() if found)


def test_what_is_not_a_post_takes_no_key(operations):
    assert [place for place, found in operations.items() if place[0] != "post" and keys(found)] == []


def test_the_token_says_why_it_takes_no_key(operations):
    assert "takes no `Idempotency-Key`" in operations["post", "/api/auth/token"]["description"]


def test_every_endpoint_describes_its_errors_as_problems(operations):
    for place, operation in operations.items():
        errors = {status: found for status, found in operation["responses"].items() if not status.startswith("2")}
        assert {"default", "503"} <= set(errors), place
        for status, found in errors.items():
            schema = found["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, (place, status)


@pytest.mark.parametrize(
    ("place", "statuses"),
    [
        (("post", "/api/users"), {"400", "409", "413", "415", "422", "429"}),
        (("post", "/api/auth/token"), {"400", "401", "413", "415", "422", "429"}),
        (("post", "/api/imports/orders"), {"400", "401", "403", "409", "413", "415", "422"}),
        (("get", "/api/tasks/{task_id}"), {"401", "403", "404", "429"}),
    ],
)
def test_an_endpoint_names_the_errors_that_it_can_answer(operations, place, statuses):
    found = set(operations[place]["responses"]) - {"default", "503"}
    assert {status for status in found if status >= "400"} == statuses


def test_taking_an_article_out_of_the_cart_answers_the_cart(operations):
    responses = operations["delete", "/api/cart/lines/{sku}"]["responses"]
    assert "204" not in responses
    assert responses["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Cart"}
