"""Every request is sent until it is answered for good, under a key that stays the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orders.replay import client as module
from orders.replay.client import Connections, Interrupted, Refused, ReplayClient, Unreachable
from orders.replay.driver import NotReady, check_ready
from orders.replay.plan import Sale, plan_batch
from orders.replay.reader import read_file
from tests.orders.replay.files import DAY, write_retail_file

Answer = tuple[int, dict[str, str], Any]


@dataclass
class FakeSite:
    """A server whose answers a test lays out; `None` hangs up without one."""

    url: str = ""
    answers: dict[str, list[Answer | None]] = field(default_factory=dict)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)

    def will_answer(self, path: str, *answers: Answer | None) -> None:
        self.answers[path] = list(answers)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSite]:
    fake = FakeSite()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.requests.append((self.path, self.headers.get("Idempotency-Key", ""), body))
            answer = fake.answers[self.path].pop(0)
            if answer is None:
                self.close_connection = True
                return
            status, headers, content = answer
            encoded = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(encoded))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(encoded)

        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


def make_client(url: str, *, patience: float = 5, stop: threading.Event | None = None) -> ReplayClient:
    connections = Connections(site_url=url, token="t", provider_url=url, provider_key="k", merchant_id="m")
    return ReplayClient(connections=connections, source="retail-x", patience=patience, stop=stop or threading.Event())


@pytest.fixture
def sale(tmp_path: Path) -> Sale:
    return plan_batch(file=read_file(write_retail_file(tmp_path / "one.csv", f"1,X,BOX,2,{DAY},1.50,7,EIRE"))).sales[0]


IMPORT, PAYMENTS, PAGE = "/api/imports/orders", "/api/orders/12/payments", "/payment-page/p1"
CREATED: Answer = (201, {}, {"id": 12, "status": "pending_payment"})


def paid(site: FakeSite, status: str = "CHARGED") -> Answer:
    return (303, {"Location": f"{site.url}/?order_id=P&status={status}&status_id=21"}, {})


def test_a_sale_is_imported_and_paid(site: FakeSite, sale: Sale) -> None:
    site.will_answer(IMPORT, CREATED)
    site.will_answer(PAYMENTS, (201, {}, {"payment_link": site.url + PAGE}))
    site.will_answer(PAGE, paid(site))

    make_client(site.url).place_order(sale)

    assert [path for path, _, _ in site.requests] == [IMPORT, PAYMENTS, PAGE]
    assert site.requests[2][2] == b"action=approve"


def test_an_order_that_costs_nothing_is_not_paid(site: FakeSite, tmp_path: Path) -> None:
    path = write_retail_file(tmp_path / "gift.csv", f"1,X,BOX,2,{DAY},0,7,EIRE")
    site.will_answer(IMPORT, (201, {}, {"id": 12, "status": "paid"}))

    make_client(site.url).place_order(plan_batch(file=read_file(path)).sales[0])

    assert [path for path, _, _ in site.requests] == [IMPORT]


def test_what_may_be_answered_differently_later_is_sent_again_under_the_same_key(site: FakeSite, sale: Sale) -> None:
    busy: Answer = (409, {}, {"code": "request_in_progress"})
    site.will_answer(IMPORT, None, (503, {}, {}), busy, (429, {}, {}), CREATED)
    site.will_answer(PAYMENTS, (201, {}, {"payment_link": site.url + PAGE}))
    site.will_answer(PAGE, None, paid(site))

    make_client(site.url).place_order(sale)

    imports = [(key, body) for path, key, body in site.requests if path == IMPORT]
    assert len(imports) == 5
    assert len(set(imports)) == 1
    assert imports[0][0] != next(key for path, key, _ in site.requests if path == PAYMENTS)


def test_the_keys_of_another_run_are_the_same_and_of_another_batch_differ(site: FakeSite) -> None:
    first, second = make_client(site.url), make_client(site.url)

    assert first._key("order", "1") == second._key("order", "1")
    second._source = "retail-y"
    assert first._key("order", "1") != second._key("order", "1")


def test_an_order_that_an_earlier_run_has_paid_is_left_alone(site: FakeSite, sale: Sale) -> None:
    site.will_answer(IMPORT, CREATED)
    site.will_answer(PAYMENTS, (409, {}, {"code": "order_not_payable", "detail": "It does not wait."}))

    make_client(site.url).place_order(sale)

    assert [path for path, _, _ in site.requests] == [IMPORT, PAYMENTS]


def test_an_order_that_the_provider_knows_as_paid_has_no_page_to_go_to(site: FakeSite, sale: Sale) -> None:
    site.will_answer(IMPORT, CREATED)
    site.will_answer(PAYMENTS, (201, {}, {"payment_link": "", "status": "captured"}))

    make_client(site.url).place_order(sale)

    assert [path for path, _, _ in site.requests] == [IMPORT, PAYMENTS]


def test_a_declined_customer_presses_again(site: FakeSite, sale: Sale) -> None:
    site.will_answer(IMPORT, CREATED)
    site.will_answer(PAYMENTS, (201, {}, {"payment_link": site.url + PAGE}))
    site.will_answer(PAGE, paid(site, "AUTHORIZATION_FAILED"), paid(site))

    make_client(site.url).place_order(sale)

    assert [path for path, _, _ in site.requests].count(PAGE) == 2


def test_a_customer_who_is_declined_every_time_is_reported(site: FakeSite, sale: Sale) -> None:
    site.will_answer(IMPORT, CREATED)
    site.will_answer(PAYMENTS, (201, {}, {"payment_link": site.url + PAGE}))
    site.will_answer(PAGE, *[paid(site, "AUTHORIZATION_FAILED")] * 3)

    with pytest.raises(Refused, match="the provider declined 3 payments"):
        make_client(site.url).place_order(sale)


def test_a_refusal_carries_the_platforms_own_sentence(site: FakeSite, sale: Sale) -> None:
    site.will_answer(IMPORT, (422, {}, {"code": "line_invalid", "detail": "lines[0].sku: there is no article 'X'."}))

    with pytest.raises(Refused, match=r"422 lines\[0\]\.sku: there is no article 'X'\.") as caught:
        make_client(site.url).place_order(sale)

    assert caught.value.code == "line_invalid"
    assert len(site.requests) == 1


def test_a_refusal_of_fields_says_which_field_and_why(site: FakeSite, sale: Sale) -> None:
    problem = {
        "code": "invalid_input",
        "detail": "2 fields cannot be accepted; `errors` names each.",
        "errors": [
            {"field": "customer.email", "detail": "Enter a valid email address."},
            {"field": "lines[0].quantity", "detail": "A valid integer is required."},
        ],
    }
    site.will_answer(IMPORT, (422, {}, problem))

    with pytest.raises(Refused) as caught:
        make_client(site.url).place_order(sale)

    assert str(caught.value) == (
        "422 2 fields cannot be accepted; `errors` names each. customer.email: Enter a valid email address."
    )


def test_a_refusal_says_the_same_thing_once(site: FakeSite, sale: Sale) -> None:
    sentence = "lines[0].sku: there is no article 'X'."
    errors = [{"field": "lines[0].sku", "detail": sentence}]
    site.will_answer(IMPORT, (422, {}, {"code": "line_invalid", "detail": sentence, "errors": errors}))

    with pytest.raises(Refused) as caught:
        make_client(site.url).place_order(sale)

    assert str(caught.value) == f"422 {sentence}"


def test_a_server_that_stays_away_is_given_up(sale: Sale) -> None:
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9 gives no usable answer for 0 s: ConnectionRefused"):
        make_client("http://127.0.0.1:9", patience=0.1).place_order(sale)


def test_a_run_that_is_told_to_stop_sends_nothing(site: FakeSite, sale: Sale) -> None:
    stop = threading.Event()
    stop.set()

    with pytest.raises(Interrupted):
        make_client(site.url, stop=stop).place_order(sale)

    assert site.requests == []


def test_a_token_that_is_not_accepted_stops_the_run_before_anything_is_booked(site: FakeSite) -> None:
    connections = Connections(site_url=site.url, token="t", provider_url=site.url, provider_key="k", merchant_id="m")

    with pytest.raises(NotReady, match=r"/api/orders: the credentials are not accepted \(401\)"):
        check_ready(connections)


def test_a_site_that_does_not_answer_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.replay.driver.READY_SECONDS", 0.1)
    url = "http://127.0.0.1:9"
    connections = Connections(site_url=url, token="t", provider_url=url, provider_key="k", merchant_id="m")

    with pytest.raises(NotReady, match=r"http://127\.0\.0\.1:9/api/orders: no answer \(ConnectError\)"):
        check_ready(connections)
