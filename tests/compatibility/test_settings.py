"""The documents' settings: environment variables are read, and what the documents set is set."""

from __future__ import annotations

import json
import subprocess

import pytest

from myproject.celery import app
from myproject.settings.base import read_database
from tests.servers.processes import ROOT, clean_environment, python

READ = """
import json
from myproject.settings import celery as s
from myproject.settings.base import *
print(json.dumps({
    "broker": s.CELERY_BROKER_URL, "results": s.CELERY_RESULT_BACKEND, "carts": s.ABANDON_CART_BROKER_URL,
    "visibility": s.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"], "expires": s.CELERY_RESULT_EXPIRES,
    "rate": s.KINESIS_INSERT_RATE_LIMIT, "queues": [q.name for q in s.QUEUES], "timezone": s.CELERY_TIMEZONE,
}))
"""
QUEUE_VARIABLES = (
    "CELERY_CANCEL_ORDER_QUEUE", "CELERY_ORDER_REFUND_QUEUE", "CELERY_EXTERNAL_API_QUEUE", "CELERY_MARKETING_QUEUE",
    "CELERY_ORDER_FLAG_QUEUE", "CELERY_SEARCH_SYNC_QUEUE", "CELERY_SYNC_QUEUE", "CELERY_KINESIS_QUEUE",
    "HL_AVAILABILITY_LOG_QUEUE", "VISITED_PRODUCT_LOGGING_QUEUE",
)  # fmt: skip


def read_settings(tmp_path, **variables: str) -> dict[str, object]:
    """Return what a new process of the project reads from these variables."""
    env = clean_environment(DJANGO_SETTINGS_MODULE="myproject.settings.development", STATE_DIR=str(tmp_path))
    done = subprocess.run(
        [python(), "-c", READ], env=env | variables, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    read: dict[str, object] = json.loads(done.stdout)
    return read


def test_the_documents_variables_are_read(tmp_path):
    read = read_settings(
        tmp_path,
        REDIS_HOST="broker.internal",
        REDIS_PORT="6390",
        ABANDON_CART_REDIS_HOST="carts.internal",
        ABANDON_CART_REDIS_PORT="6391",
        ABANDON_CART_REDIS_DB="4",
        CELERY_VISIBILITY_TIMEOUT="7200",
        CELERY_TASK_RESULT_EXPIRES_IN_SEC="1800",
        KINESIS_INSERT_RATE_LIMIT="50/s",
        CELERY_TIMEZONE="Asia/Kathmandu",
        **{name: f"renamed_{name.lower()}" for name in QUEUE_VARIABLES},
    )

    queues = read.pop("queues")
    assert read == {
        "broker": "redis://broker.internal:6390/0",
        "results": "redis://broker.internal:6390/1",
        "carts": "redis://carts.internal:6391/4",
        "visibility": 7200,
        "expires": 1800,
        "rate": "50/s",
        "timezone": "Asia/Kathmandu",
    }
    assert {f"renamed_{name.lower()}" for name in QUEUE_VARIABLES} <= set(queues)


def test_broker_and_results_can_be_named_as_celery_does(tmp_path):
    read = read_settings(
        tmp_path,
        CELERY_BROKER_URL="redis://:password@other.internal:6379/7",
        CELERY_RESULT_BACKEND="redis://other.internal:6379/8",
    )

    assert read["broker"] == "redis://:password@other.internal:6379/7"
    assert read["results"] == "redis://other.internal:6379/8"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accept_content", ["json"]),
        ("task_serializer", "json"),
        ("result_serializer", "json"),
        ("enable_utc", True),
        ("task_acks_late", True),
        ("task_track_started", True),
        ("task_soft_time_limit", 60),
        ("task_time_limit", 120),
        ("worker_prefetch_multiplier", 1),
        ("worker_send_task_events", True),
        ("task_send_sent_event", True),
        ("broker_connection_retry_on_startup", True),
        ("broker_connection_max_retries", None),
        ("task_default_queue", "default"),
        ("task_default_exchange", "default"),
        ("task_default_routing_key", "default"),
        ("beat_scheduler", "myproject.jobs.schedules:SeedingDatabaseScheduler"),
    ],
)
def test_what_the_documents_set_is_set(name, value):
    assert app.conf[name] == value


def test_worker_processes_are_renewed():
    assert app.conf.worker_max_tasks_per_child > 0


def test_every_queue_takes_ten_priorities_on_rabbitmq():
    assert {queue.queue_arguments["x-max-priority"] for queue in app.conf.task_queues} == {9}


def test_database_connections_live_for_a_minute_and_are_probed():
    database = read_database("sqlite:///db.sqlite3")

    assert (database["CONN_MAX_AGE"], database["CONN_HEALTH_CHECKS"]) == (60, True)
