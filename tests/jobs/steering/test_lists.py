"""Jobs are found by each thing that people know of them, page by page, and never by reading a whole table."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from myproject.errors import InvalidInput, NotFound
from myproject.jobs.models import Job
from myproject.jobs.queries import jobs, walk
from myproject.jobs.queries.backlog import read_backlog
from myproject.jobs.queries.failures import group_failures
from myproject.jobs.queries.filters import JobFilter, read_age
from myproject.jobs.queries.jobs import Count, count_exactly, count_jobs, get_job, list_jobs
from myproject.jobs.states import JobState
from tests.jobs.steering.rows import NOW, TASK, job, parked

pytestmark = pytest.mark.django_db

QUEUED, SCHEDULED, PARKED, SUCCEEDED = JobState.QUEUED, JobState.SCHEDULED, JobState.PARKED, JobState.SUCCEEDED


def ids(wanted, **options):
    return [row.id for row in list_jobs(wanted, **options).jobs]


def all_pages(wanted, *, size):
    found, after = [], ""
    while True:
        page = list_jobs(wanted, size=size, after=after)
        found.append([row.id for row in page.jobs])
        after = page.after
        if not after:
            return found


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, ["old", "other", "mine"]),
        ({"states": (PARKED,)}, ["old"]),
        ({"states": (QUEUED, PARKED)}, ["mine", "other", "old"]),
        ({"queue": "default"}, ["other"]),
        ({"task": TASK}, ["old", "mine"]),
        ({"task": "tasks.process_order"}, ["old", "mine"]),
        ({"task": TASK, "states": (QUEUED,)}, ["mine"]),
        ({"task": TASK, "queue": "default"}, []),
        ({"key": "A1"}, ["other", "mine"]),
        ({"key": "A1", "key_name": "order"}, ["mine"]),
        ({"key": "A2"}, []),
        ({"fingerprint": "f1"}, ["old"]),
        ({"created_before": NOW}, ["old"]),
        ({"created_after": NOW}, ["other", "mine"]),
    ],
)
def test_jobs_are_found(wanted, names):
    rows = {
        "mine": job(keys={"order": "A1", "alias": "A1"}),
        "other": job(task="notifications.tasks.send", queue="default", keys={"customer": "A1"}),
        "old": parked(task="tasks.process_order", created_at=NOW - timedelta(seconds=1)),
    }
    assert ids(JobFilter(**wanted)) == [rows[name].id for name in names]
    assert count_jobs(JobFilter(**wanted)) == Count(len(names))
    assert count_exactly(JobFilter(**wanted)) == len(names)


def test_jobs_are_found_by_id_and_by_workflow():
    root = job()
    child, other = job(root_id=root.id), job()
    assert ids(JobFilter(ids=(other.id, child.id, "none"))) == [child.id, other.id]
    assert ids(JobFilter(roots=(root.id,))) == [root.id, child.id]
    assert ids(JobFilter(roots=(root.id,), states=(PARKED,))) == []


def test_open_jobs_come_in_the_order_in_which_they_are_due_and_closed_ones_with_the_last_first():
    late = job(due_at=NOW + timedelta(hours=2), queue="a")
    soon = job(due_at=NOW + timedelta(hours=1), queue="b", priority=2)
    first, last = parked(due_at=NOW, queue="b"), parked(due_at=NOW + timedelta(days=1), queue="a", priority=0)
    assert ids(JobFilter(states=(QUEUED, PARKED))) == [soon.id, late.id, last.id, first.id]


@pytest.mark.parametrize(
    "wanted",
    [
        JobFilter(),
        JobFilter(states=(SCHEDULED, QUEUED, PARKED)),
        JobFilter(queue="orders"),
        JobFilter(task=TASK),
        JobFilter(key="A1"),
        JobFilter(roots=("job-root",)),
        JobFilter(states=(QUEUED, PARKED), created_before=NOW + timedelta(seconds=1)),
        JobFilter(task=TASK, created_before=NOW + timedelta(seconds=1)),
    ],
    ids=lambda wanted: ",".join(wanted.as_json()) or "all",
)
def test_pages_hold_each_job_once_whatever_lies_between_them(wanted, monkeypatch):
    monkeypatch.setattr(jobs, "CHUNK", 7)
    monkeypatch.setattr(walk, "CHUNK", 7)
    monkeypatch.setattr(jobs, "MOST_EXAMINED", 9)
    chance = random.Random(4)
    for _ in range(60):
        job(
            state=chance.choice([SCHEDULED, QUEUED, PARKED, SUCCEEDED]),
            queue=chance.choice(["orders", "default"]),
            priority=chance.choice([2, 5, 7]),
            task=chance.choice([TASK, "tasks.process_order", "notifications.tasks.send"]),
            due_at=NOW + timedelta(seconds=chance.choice([1, 2, 3])),  # many of one moment
            fingerprint=chance.choice(["f1", "f2", None]),
            root_id=chance.choice([None, "job-root"]),
            created_at=NOW + timedelta(seconds=chance.choice([0, 2])),
            keys={"order": chance.choice(["A1", "A2"]), "invoice": chance.choice(["A1", "A3"])},
        )
    pages = all_pages(wanted, size=5)
    found = [task_id for page in pages for task_id in page]
    assert len(found) == len(set(found)) == count_exactly(wanted) > 5
    assert all(len(page) <= 5 for page in pages)
    monkeypatch.setattr(jobs, "MOST_EXAMINED", 1_000)
    assert found == ids(wanted, size=100)


def test_a_page_that_looks_in_vain_says_where_it_stopped(monkeypatch):
    monkeypatch.setattr(jobs, "CHUNK", 2)
    monkeypatch.setattr(jobs, "MOST_EXAMINED", 2)
    rows = [job() for _ in range(5)]
    last = job(created_at=NOW - timedelta(days=1))
    wanted = JobFilter(states=(QUEUED,), created_before=NOW)
    page = list_jobs(wanted)
    assert (page.jobs, page.examined) == ([], 2)
    assert count_jobs(wanted, examined=2) == Count(0, more=True)
    assert [task_id for found in all_pages(wanted, size=5) for task_id in found] == [last.id]
    assert len(rows) == 5


def test_jobs_of_one_cause_are_found_once_each_page_by_page():
    rows = [parked() for _ in range(7)]
    parked(fingerprint="f2")
    later = parked()
    Job.objects.filter(id=later.id).update(fingerprint="f3")  # it failed of another cause since
    wanted = JobFilter(fingerprint="f1")
    assert all_pages(wanted, size=3) == [[row.id for row in part] for part in (rows[:3:-1], rows[3:0:-1], rows[:1])]
    assert count_exactly(wanted) == 7
    assert count_exactly(JobFilter(fingerprint="f1", states=(QUEUED,))) == 0


def test_counts_end_where_nobody_reads_on():
    for _ in range(4):
        job()
    assert str(count_jobs(JobFilter(states=(QUEUED,)), most=3)) == "3+"
    assert str(count_jobs(JobFilter(states=(QUEUED,)), most=4)) == "4"
    assert count_exactly(JobFilter(states=(QUEUED,))) == 4


def test_large_columns_are_not_read_for_a_list():
    job(body="x" * 1_000)
    with CaptureQueriesContext(connection) as seen:
        list_jobs(JobFilter())
    assert [query["sql"] for query in seen if "body" in query["sql"]] == []


@pytest.mark.parametrize("after", ["x", "bm90IGpzb24", "W10", "WzBd", "WyJhIiwgMV0", "WzEsIDFd"])
def test_a_place_that_does_not_exist_is_refused(after):
    job()
    with pytest.raises(InvalidInput) as refused:
        list_jobs(JobFilter(states=(QUEUED,)), after=after)
    assert refused.value.field == "after"


def test_what_is_no_filter_is_refused_by_name():
    for given, field in (
        ({"states": ["lost"]}, "states"),
        ({"colour": "red"}, "colour"),
        ({"created_before": "soon"}, "created_before"),
        ({"key_name": "order"}, "key"),
        ({"ids": ["x"] * 1_001}, "ids"),
    ):
        with pytest.raises(InvalidInput) as refused:
            JobFilter.from_json(given)
        assert refused.value.field == field


def test_a_filter_survives_its_way_through_a_link():
    wanted = JobFilter(states=(PARKED,), task="tasks.process_order", ids=("a", "b"), key="A1", created_before=NOW)
    assert JobFilter.from_json(wanted.as_json()) == wanted
    assert wanted.as_json()["task"] == TASK
    assert JobFilter().as_json() == {}


def test_ages_are_read():
    assert [read_age(text).total_seconds() for text in ("90", "90s", "15m", "1.5h", "7d", "1w")] == [
        90, 90, 900, 5_400, 604_800, 604_800,
    ]  # fmt: skip
    for text in ("", "soon", "-5m", "5y", "inf"):
        with pytest.raises(InvalidInput):
            read_age(text)


def test_a_job_that_is_not_there_is_said_so():
    with pytest.raises(NotFound, match="pruned"):
        get_job("nowhere")


def test_the_backlog_is_told_per_queue():
    job(created_at=NOW - timedelta(hours=1))
    job(state=SCHEDULED)
    parked()
    job(queue="default", state=JobState.RUNNING)
    found = {row.queue: row for row in read_backlog()}
    assert set(found) == {"orders", "default"}
    orders = found["orders"]
    assert (orders.scheduled, orders.queued, orders.running, orders.open) == (Count(1), Count(1), Count(0), Count(2))
    assert orders.oldest > found["default"].oldest > 0
    assert orders.overdue is not None
    assert found["default"].overdue is None


def test_failures_are_grouped_by_cause_the_most_frequent_first():
    parked(fingerprint="f2", error="KeyError: 'x'")
    for _ in range(3):
        last = parked()
    parked(task="notifications.tasks.send", queue="default")
    parked(state=JobState.DISCARDED)
    found = group_failures()
    assert [(row.task, row.fingerprint, row.count) for row in found] == [
        (TASK, "f1", Count(3)),
        ("notifications.tasks.send", "f1", Count(1)),
        (TASK, "f2", Count(1)),
    ]
    assert (found[0].example, found[0].error, found[0].last) == (last.id, "ValueError: no", last.finished_at)
    assert group_failures(most=3)[0].count == Count(2, more=True)


FILTERS = (
    JobFilter(),
    JobFilter(states=(QUEUED,)),
    JobFilter(states=(SCHEDULED, QUEUED)),
    JobFilter(queue="orders"),
    JobFilter(states=(QUEUED,), queue="orders"),
    JobFilter(task=TASK),
    JobFilter(task=TASK, states=(PARKED,)),
    JobFilter(task=TASK, queue="orders"),
    JobFilter(states=(PARKED,), fingerprint="f1"),
    JobFilter(states=(QUEUED,), created_before=NOW),
    JobFilter(key="A7"),
    JobFilter(key="A7", key_name="order"),
    JobFilter(roots=("job-root",)),
    JobFilter(ids=("job-000001",)),
)


#: The numbers from 1 to 100,000. MariaDB has a table for that, MySQL has not.
NUMBERS = "SELECT 1 + a.n + 10*b.n + 100*c.n + 1000*d.n + 10000*e.n AS seq FROM " + ", ".join(
    f"({' UNION ALL '.join(f'SELECT {digit} AS n' for digit in range(10))}) AS {name}" for name in "abcde"
)


def plans(statements):
    found = []
    for sql in statements:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN FORMAT=TRADITIONAL {sql}")
            names = [column[0] for column in cursor.description]
            found += [(dict(zip(names, row, strict=True)), sql) for row in cursor.fetchall()]
    return found


@pytest.mark.mariadb
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)  # ANALYZE commits
def test_every_statement_of_every_list_uses_an_index():
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_job (id, app, task, queue, priority, state, due_at, created_at, body, root_id)"
            " SELECT CONCAT('many-', LPAD(seq, 8, '0')), 'myproject', IF(seq MOD 3, %s, 'notifications.tasks.send'),"
            " IF(seq MOD 2, 'orders', 'default'), seq MOD 7, ELT(1 + seq MOD 3, 0, 1, 4), UTC_TIMESTAMP(6),"
            f" UTC_TIMESTAMP(6), '[]', CONCAT('root-', seq MOD 500) FROM ({NUMBERS}) AS numbers WHERE seq <= 40000",
            [TASK],
        )
        cursor.execute("ANALYZE TABLE jobs_job, jobs_jobkey, jobs_jobevent")
        cursor.fetchall()
    with CaptureQueriesContext(connection) as seen:
        for wanted in FILTERS:
            page = list_jobs(wanted)
            if page.after:
                list_jobs(wanted, after=page.after)
            count_jobs(wanted)
            count_exactly(wanted)
        read_backlog()
        group_failures()
    statements = [query["sql"] for query in seen if "FROM `jobs_job" in query["sql"]]
    assert len(statements) > 100
    scans = [(plan, sql) for plan, sql in plans(statements)
             if plan["type"] == "ALL" and not str(plan["table"]).startswith("<")]  # fmt: skip
    assert scans == []
