"""Ways of calling a task: `.delay`, every option of `apply_async`, callbacks."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from base64 import b64decode
from datetime import UTC, datetime, timedelta

import pytest
from celery.exceptions import TaskRevokedError
from kombu import Connection

WAIT = 60  # seconds until a call counts as lost; a healthy one takes milliseconds


def test_delay_runs_the_task_on_the_worker(tasks):
    result = tasks.add.delay(4, 6)

    assert result.get(timeout=WAIT) == 10


def test_calling_a_task_directly_runs_it_here(registered):
    assert registered.add(4, 6) == 10


def test_apply_async_takes_positional_and_named_arguments(tasks):
    seen = tasks.context.apply_async(args=(4, 6), kwargs={"extra": "data"}).get(timeout=WAIT)

    assert (seen["args"], seen["kwargs"]) == ([4, 6], {"extra": "data"})


def test_an_identifier_travels_instead_of_an_object(tasks):
    with pytest.raises(Exception, match="not JSON serializable"):
        tasks.context.delay(object())


def test_countdown_delays_the_start(tasks):
    started = time.monotonic()

    assert tasks.add.apply_async(args=(1, 1), countdown=1).get(timeout=WAIT) == 2
    assert time.monotonic() - started >= 1


def test_eta_delays_the_start(tasks):
    started = time.monotonic()
    eta = datetime.now(UTC) + timedelta(seconds=1)

    assert tasks.add.apply_async(args=(1, 1), eta=eta).get(timeout=WAIT) == 2
    assert time.monotonic() - started >= 0.9


def test_a_message_past_its_expiry_is_not_run(tasks, notes):
    key = uuid.uuid4().hex
    result = tasks.note.apply_async(args=("late", key), expires=datetime.now(UTC) - timedelta(seconds=1))

    with pytest.raises(TaskRevokedError):
        result.get(timeout=WAIT)
    assert result.state == "REVOKED"
    assert notes(key) == []


def test_queue_option_wins_over_the_table(tasks):
    assert tasks.context.apply_async().get(timeout=WAIT)["queue"] == "default"
    assert tasks.context.apply_async(queue="compatibility_math").get(timeout=WAIT)["queue"] == "compatibility_math"


def test_exchange_and_routing_key_reach_the_queue_bound_to_them(tasks, client):
    seen = tasks.context.apply_async(
        queue="compatibility.math", exchange="compatibility.math", routing_key="compatibility.math"
    ).get(timeout=WAIT)

    assert seen["queue"] == "compatibility.math"


@pytest.mark.parametrize("priority", [0, 1, 5, 9])
def test_priority_travels_with_the_message(tasks, priority):
    assert tasks.context.apply_async(priority=priority).get(timeout=WAIT)["priority"] == priority


def test_priorities_are_written_where_stock_celery_writes_them(registered, client, broker_url):
    queue = f"compatibility-{uuid.uuid4().hex}"
    registered.add.apply_async(args=(1, 1), queue=queue, priority=9)
    registered.add.apply_async(args=(2, 2), queue=queue, priority=0)

    with Connection(broker_url, transport_options={"priority_steps": list(range(10))}) as connection:
        stock = connection.default_channel.client
        lengths = {key: stock.llen(key) for key in (queue, f"{queue}\x06\x169")}
        stock.delete(*lengths)
    assert lengths == {queue: 1, f"{queue}\x06\x169": 1}


def test_a_priority_above_nine_counts_as_nine(registered, client, broker_url):
    queue = f"compatibility-{uuid.uuid4().hex}"
    registered.add.apply_async(args=(1, 1), queue=queue, priority=10)

    with Connection(broker_url, transport_options={"priority_steps": list(range(10))}) as connection:
        stock = connection.default_channel.client
        length = stock.llen(f"{queue}\x06\x169")
        stock.delete(f"{queue}\x06\x169")
    assert length == 1


def test_serializer_and_compression_of_the_message(registered, client, broker_url):
    queue = f"compatibility-{uuid.uuid4().hex}"
    registered.length.apply_async(args=("x" * 1000,), queue=queue, serializer="json", priority=0)

    with Connection(broker_url) as connection:
        message = json.loads(connection.default_channel.client.lpop(queue))
    packed = b64decode(message["body"])
    assert message["content-type"] == "application/json"
    assert message["headers"]["compression"] == "application/x-gzip"
    assert json.loads(gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else _inflate(packed))[0] == ["x" * 1000]


def _inflate(packed: bytes) -> bytes:
    import zlib

    return zlib.decompress(packed)


def test_a_compressed_message_is_read_by_the_worker(tasks):
    assert tasks.length.delay("x" * 100_000).get(timeout=WAIT) == 100_000


def test_a_pickled_message_is_refused_by_the_worker(tasks, notes):
    key = uuid.uuid4().hex
    tasks.note.apply_async(args=("pickled", key), serializer="pickle")
    tasks.note.apply_async(args=("json", key))

    assert notes(key, expect=1) == ["json"]
    time.sleep(0.3)
    assert notes(key) == ["json"]


def test_retry_policy_of_the_publisher(tasks):
    policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}

    assert tasks.add.apply_async(args=(4, 6), retry=True, retry_policy=policy).get(timeout=WAIT) == 10


def test_headers_reach_the_task(tasks):
    seen = tasks.context.apply_async(headers={"order_number": "536365"}).get(timeout=WAIT)

    assert seen["headers"]["order_number"] == "536365"


def test_link_is_called_with_the_result(tasks, notes):
    key = uuid.uuid4().hex
    tasks.add.apply_async(args=(4, 6), link=tasks.note.s(key))

    assert notes(key, expect=1) == ["10"]


def test_link_error_is_called_with_request_and_exception(tasks, notes):
    key = uuid.uuid4().hex
    result = tasks.fail.apply_async(args=("no stock",), link_error=tasks.on_error.s(key=key))

    assert notes(key, expect=1) == [f"{result.id} no stock"]


def test_link_error_is_not_called_on_success(tasks, notes):
    key = uuid.uuid4().hex
    tasks.add.apply_async(args=(1, 1), link_error=tasks.on_error.s(key=key)).get(timeout=WAIT)

    assert notes(key) == []


def test_a_task_without_result_keeps_none(tasks, notes, client):
    key = uuid.uuid4().hex
    result = tasks.forgotten.delay(key)

    assert notes(key, expect=1) == ["ran"]
    assert client.backend.get(client.backend.get_key_for_task(result.id)) is None


def test_send_task_by_name_reaches_the_task(tasks, client):
    assert client.send_task("tests.compatibility.add", args=(2, 3)).get(timeout=WAIT) == 5
