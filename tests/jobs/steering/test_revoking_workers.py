"""Real workers: a revoke outlives their restart, reaches them from foreign clients, and stops a body that runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from celery import Celery
from django.contrib.auth.models import Group
from django.db import connection

from myproject.jobs.actions import bulk
from myproject.jobs.actions.terminate import terminate_job
from myproject.jobs.models import Job, JobEvent
from myproject.jobs.states import JobState
from tests.jobs.steering import steered_tasks
from tests.jobs.steering.steered_tasks import app, call, write
from tests.servers.fixtures import RedisServer
from tests.servers.processes import Process, clean_environment, wait_until
from tests.servers.programs import start_worker

pytestmark = [pytest.mark.mariadb, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

WAIT = 60.0


@pytest.fixture(scope="module")
def broker(valkey_server: RedisServer) -> Iterator[str]:
    """One broker for all tests here: an app keeps the connections that it made."""
    url = valkey_server.fresh_url()
    app.conf.update(broker_read_url=url, broker_write_url=url)
    app.__dict__.pop("_job_publisher", None)
    yield url
    app.close()


@pytest.fixture(autouse=True)
def own_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "main_app", app)


def worker_env(broker: str) -> dict[str, str]:
    """Return what leads a worker to this test's own database."""
    server = connection.settings_dict
    address = f"{quote(server['USER'] or 'root')}:{quote(server['PASSWORD'] or '')}@{server['HOST']}:{server['PORT']}"
    return clean_environment(
        DJANGO_SETTINGS_MODULE="myproject.settings.test",
        DATABASE_URL=f"mysql://{address}/{server['NAME']}",
        REDIS_URL=broker,
    )


@pytest.fixture(scope="module")
def one_worker(broker: str, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("worker")
    process = start_worker(env=worker_env(broker), queues=["default"], folder=folder, app=steered_tasks.__name__)
    yield process
    process.stop()


def state(result):
    return JobState(Job.objects.values_list("state", flat=True).get(id=result.id))


def let_go(folder: Path, name: str) -> None:
    (folder / f"{name}.go").touch()


def began(folder: Path, name: str) -> None:
    wait_until((folder / f"{name}.began").exists, timeout=WAIT, what=f"{name} begins")


def finish_another(folder: Path, *, queue: str = "default") -> None:
    """Have the worker run one job more, and so everything that came before.

    No relay runs here: a message that the dying process took with it does not come again, so another one is sent.
    """
    results = []  # type: ignore[var-annotated]

    def is_done() -> bool:
        if not results or time.monotonic() > results[-1][1] + 5:
            name = f"another {len(results)}"
            let_go(folder, name)
            sent = write.apply_async((str(folder), name), queue=queue)
            results.append((sent, time.monotonic()))
        return any(result.successful() for result, _ in results)

    wait_until(is_done, timeout=WAIT, what="another job")


def test_a_revoke_outlives_the_workers(broker, worker, tmp_path):
    options = {"env": worker_env(broker), "queues": ["restarts"], "app": steered_tasks.__name__}
    result = write.apply_async((str(tmp_path), "never"), queue="restarts")
    result.revoke()  # nobody is there who could be told
    worker(**options)
    finish_another(tmp_path, queue="restarts")
    assert not (tmp_path / "never.began").exists()
    assert result.state == "REVOKED"


def test_a_foreign_client_revokes_for_good(one_worker, broker, tmp_path):
    result = write.apply_async((str(tmp_path), "never"), countdown=3_600)
    foreign = Celery("foreign", set_as_current=False)
    foreign.conf.update(broker_read_url=broker, broker_write_url=broker)
    foreign.control.revoke(result.id)
    wait_until(lambda: state(result) == JobState.CANCELLED, timeout=WAIT, what="the row is cancelled")
    foreign.close()


@pytest.mark.parametrize("task", [write, call], ids=["transaction", "lease"])
def test_a_body_that_runs_is_stopped_and_does_not_come_back(one_worker, tmp_path, task):
    result = task.delay(str(tmp_path), "hangs")
    began(tmp_path, "hangs")
    ended = terminate_job(task_id=result.id, actor="ops", reason="it hangs", patience=WAIT)
    assert (ended.cancelled, ended.told, ended.state) == (True, True, "cancelled")
    finish_another(tmp_path)
    assert not Group.objects.filter(name="hangs").exists()
    assert (state(result), result.state) == (JobState.CANCELLED, "REVOKED")
    assert "cancelled" in JobEvent.objects.filter(job_id=result.id).values_list("kind", flat=True)
