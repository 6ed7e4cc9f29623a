from __future__ import annotations

from django.core.management import call_command


def test_the_documentation_of_the_api_is_made_without_a_warning_and_names_every_endpoint_of_orders(tmp_path):
    file = tmp_path / "schema.json"

    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", "--file", str(file))

    text = file.read_text()
    for path in (
        "/api/cart",
        "/api/cart/lines/{sku}",
        "/api/imports/cancellations",
        "/api/imports/orders",
        "/api/orders",
        "/api/orders/{id}",
        "/api/orders/{id}/cancellations",
        "/api/orders/{id}/events",
        "/api/orders/{id}/payments",
    ):
        assert f'"{path}"' in text
