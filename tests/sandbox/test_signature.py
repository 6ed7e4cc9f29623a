"""The signature of the way back, against the vector of the provider's rule (providers, 1.4)."""

from myproject.sandbox.signature import build_return_url, build_signed_text, sign_params

PARAMS = {"order_id": "ORD1", "status": "CHARGED", "status_id": "21"}
SIGNATURE = "R5BvJLMxCsFlxh%2BA%2Batxu6tfs5mj%2BTmz7gYci%2BWPpfM%3D"


def test_vector() -> None:
    assert build_signed_text(PARAMS) == "order_id%3DORD1%26status%3DCHARGED%26status_id%3D21"
    assert sign_params(PARAMS, response_key="response_key") == SIGNATURE


def test_order_of_parameters_and_the_signature_itself_do_not_matter() -> None:
    shuffled = {
        "status_id": "21",
        "signature": "x",
        "order_id": "ORD1",
        "signature_algorithm": "y",
        "status": "CHARGED",
    }

    assert sign_params(shuffled, response_key="response_key") == SIGNATURE


def test_values_are_encoded_twice() -> None:
    assert build_signed_text({"a b": "c&d"}) == "a%2520b%3Dc%2526d"


def test_return_url_carries_the_signature_encoded_once() -> None:
    url = build_return_url(
        "https://shop.example/", order_id="ORD1", status="CHARGED", status_id=21, response_key="response_key"
    )

    assert url == (
        "https://shop.example/?order_id=ORD1&status=CHARGED&status_id=21"
        f"&signature={SIGNATURE}&signature_algorithm=HMAC-SHA256"
    )
