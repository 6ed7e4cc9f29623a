"""Jobs in the admin: readable for who may look, steered by who may steer, arguments for who may see them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test.utils import CaptureQueriesContext

from myproject.accounts.models import User
from myproject.jobs import controls
from myproject.jobs.ledger import database_now
from myproject.jobs.models import Control, Job, JobEvent, SteeringEvent
from myproject.jobs.states import JobState
from tests.jobs.steering.rows import TASK, job, parked

pytestmark = pytest.mark.django_db(transaction=True)

HOME = "/admin/jobs/job/"
STEER = f"{HOME}steer/"
PARKED, QUEUED = JobState.PARKED, JobState.QUEUED


@pytest.fixture(autouse=True)
def forgotten():
    controls.forget()
    yield
    controls.forget()


@pytest.fixture
def sign_in(client):
    def with_permissions(*codenames):
        user = User.objects.create_user("ops@example.com", "a long password 1", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(content_type__app_label="jobs", codename__in=codenames))
        client.force_login(user)
        return client

    return with_permissions


@pytest.fixture
def operator(sign_in):
    return sign_in("view_job", "steer_job")


def states():
    return {row.id: JobState(row.state) for row in Job.objects.all()}


def shown(answer):
    assert answer.status_code == 200
    return [row["job"].id for row in answer.context["rows"]]


def said(answer):
    return [str(message) for message in answer.context["messages"]]


@pytest.mark.parametrize("page", [HOME, f"{HOME}backlog/", f"{HOME}failures/", f"{HOME}job-x/change/"])
def test_without_the_permission_nothing_is_shown(sign_in, page):
    assert sign_in().get(page).status_code == 403


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["other", "mine"]),
        ("state=parked", ["other"]),
        ("state=parked&state=queued", ["mine", "other"]),
        ("queue=orders", ["mine"]),
        ("task=tasks.process_order", ["mine"]),
        ("fingerprint=f1&state=parked", ["other"]),
        ("q=536365", ["mine"]),
        ("q=order%3D536365", ["mine"]),
        ("q=536365&state=parked", []),
        ("q=nothing", []),
        ("older=2h", ["mine"]),
        ("newer=2h", ["other"]),
    ],
)
def test_jobs_are_listed_filtered_and_searched(operator, query, names):
    now = database_now()
    rows = {
        "mine": job(keys={"order": "536365"}, created_at=now - timedelta(hours=3)),
        "other": parked(task="notifications.tasks.send", queue="default", created_at=now),
    }
    assert shown(operator.get(f"{HOME}?{query}")) == [rows[name].id for name in names]


def test_a_job_is_found_by_its_id(operator):
    rows = [job(), job()]
    assert shown(operator.get(HOME, {"q": rows[1].id})) == [rows[1].id]


@pytest.mark.parametrize("query", ["state=lost", "older=soon", "queue=nowhere", "after=x", "older=9999999999w"])
def test_what_is_no_filter_is_said_and_nothing_breaks(operator, query):
    job()
    answer = operator.get(f"{HOME}?{query}")
    assert shown(answer) == []
    assert "errornote" in answer.content.decode()


def test_a_long_list_has_pages_and_its_count_ends(operator, monkeypatch):
    monkeypatch.setattr("myproject.jobs.queries.jobs.MOST_COUNTED", 60)
    rows = [job() for _ in range(70)]
    first = operator.get(HOME, {"state": "queued"})
    second = operator.get(HOME + first.context["next"])
    assert shown(first) + shown(second) == [row.id for row in rows]
    assert second.context["next"] == ""
    assert len(shown(first)) == 50


def test_no_page_counts_the_whole_table(operator):
    from django.db import connection

    job()
    with CaptureQueriesContext(connection) as seen:
        for page in (HOME, f"{HOME}?state=queued", f"{HOME}backlog/", f"{HOME}failures/"):
            assert operator.get(page).status_code == 200
    counts = [query["sql"] for query in seen if "COUNT(*)" in query["sql"] and "jobs_job" in query["sql"]]
    assert counts
    assert [sql for sql in counts if "LIMIT" not in sql and "IN (" not in sql] == []


def test_arguments_are_shown_only_with_their_permission(sign_in, client):
    row = parked(body='[["4111 1111"], {"secret": "hidden word"}, {}]')
    page = f"{HOME}{row.id}/change/"
    text = sign_in("view_job", "steer_job").get(page).content.decode()
    assert "4111 1111" not in text
    assert "jobs.view_arguments" in text
    for query in ("", "?q=4111", f"?q={row.id}"):
        assert "hidden word" not in client.get(HOME + query).content.decode()
    User.objects.get().user_permissions.add(Permission.objects.get(codename="view_arguments"))
    assert "4111 1111" in client.get(page).content.decode()


def test_a_job_is_shown_with_its_history_outcome_and_workflow(operator):
    root = job(state=JobState.SUCCEEDED, meta=json.dumps({"status": "SUCCESS", "result": {"total": 7}}))
    failure = {"exc_type": "ValueError", "exc_message": ["<b>no</b>"], "exc_module": "builtins"}
    row = parked(root_id=root.id, parent_id=root.id, keys={"order": "536365"},
                 meta=json.dumps({"status": "FAILURE", "result": failure, "traceback": "Traceback: here"}))  # fmt: skip
    JobEvent.objects.create(job_id=row.id, at=database_now(), kind="replayed", epoch=0, attempts=3, actor="ann")
    text = operator.get(f"{HOME}{row.id}/change/").content.decode()
    for part in ("536365", "ValueError: &lt;b&gt;no&lt;/b&gt;", "Traceback: here", "replayed", "by ann", root.id):
        assert part in text
    assert "<b>no" not in text
    assert "&quot;total&quot;: 7" in operator.get(f"{HOME}{root.id}/change/").content.decode()


def test_a_job_that_is_gone_is_not_found_and_any_id_can_be_opened(operator):
    assert operator.get(f"{HOME}nowhere/change/").status_code == 404
    row = parked(id='a/b "c" <d>?e=_f')
    answer = operator.get(HOME)
    link = next(part for part in answer.content.decode().split('"') if part.endswith("/change/"))
    assert row.id in operator.get(link).context["subtitle"]


def choose(client, action, **given):
    return client.post(STEER, {"action": action, "back": f"{HOME}?state=parked", **given})


def confirm(client, page, **changes):
    """Send the confirmation page's own form."""
    context = page.context
    given = {"action": context["action"], "confirmed": "yes", "expected": context["count"], "reason": "repaired",
             "back": context["back"]}  # fmt: skip
    ids = context["filters"].get("ids")
    given |= {"ids": ids} if ids else {"scope": "all", "filter": context["filter_text"]}
    return client.post(STEER, {**given, **changes}, follow=True)


def test_a_job_is_retried_after_a_confirmation_with_a_reason(operator):
    row = parked()
    page = choose(operator, "retry", ids=[row.id])
    assert page.status_code == 200
    assert states() == {row.id: PARKED}
    answer = confirm(operator, page)
    assert said(answer) == ["retry: 1 of 1 jobs."]
    assert answer.redirect_chain == [(f"{HOME}?state=parked", 302)]
    assert states() == {row.id: JobState.SCHEDULED}
    event = SteeringEvent.objects.get()
    assert (event.actor, event.action, event.count, event.reason) == ("ops@example.com", "retry", 1, "repaired")


def test_all_that_match_are_discarded_and_no_others(operator):
    matching = [parked() for _ in range(3)]
    other = parked(fingerprint="f2")
    listed = operator.get(HOME, {"state": "parked", "fingerprint": "f1"})
    page = choose(operator, "discard", scope="all", filter=listed.context["filter_text"])
    assert page.context["count"] == 3
    assert said(confirm(operator, page)) == ["discard: 3 of 3 jobs."]
    assert {states()[row.id] for row in matching} == {JobState.DISCARDED}
    assert states()[other.id] == PARKED


def test_another_count_than_was_shown_is_refused(operator):
    parked()
    page = choose(operator, "retry", scope="all", filter='{"states": ["parked"]}')
    late = parked()
    assert "1 jobs were confirmed, and now 2 match" in said(confirm(operator, page))[0]
    assert states()[late.id] == PARKED
    assert SteeringEvent.objects.count() == 0


def test_more_than_one_request_can_change_are_left_to_the_command(operator, monkeypatch):
    monkeypatch.setattr("myproject.jobs.admin.steering.MOST_AT_ONCE", 1)
    parked()
    parked()
    answer = operator.post(STEER, {"action": "retry", "scope": "all", "filter": '{"states": ["parked"]}'}, follow=True)
    assert (
        "2 jobs are more than one request changes (1): narrow the list, or use `manage.py jobs retry`"
        in said(answer)[0]
    )
    assert set(states().values()) == {PARKED}


def test_a_confirmation_needs_a_reason(operator):
    row = parked()
    page = choose(operator, "retry", ids=[row.id])
    answer = confirm(operator, page, reason=" ")
    assert answer.context["form"].errors
    assert states() == {row.id: PARKED}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"action": "retry"}, "No job was chosen"),
        ({"action": "explode", "ids": ["job-1"]}, "Choose what is to be done"),
        ({"action": "retry", "ids": ["nowhere"]}, "nothing to retry"),
        ({"action": "discard", "scope": "all", "filter": '{"states": ["queued"]}'}, "not to queued ones"),
        ({"action": "retry", "scope": "all", "filter": "[1"}, "no filter"),
        ({"action": "retry", "scope": "all", "filter": "[]"}, "no filter"),
        ({"action": "retry", "scope": "all", "filter": '{"colour": "red"}'}, "no filter &#x27;colour"),
        ({"action": "terminate", "scope": "all", "filter": "{}"}, "needs jobs by name"),
    ],
)
def test_what_cannot_be_done_is_said(operator, given, text):
    row = parked()
    answer = operator.post(STEER, given, follow=True)
    assert text in answer.content.decode()
    assert states() == {row.id: PARKED}


def test_steering_needs_its_permission_and_a_post(sign_in, client):
    row = parked()
    sign_in("view_job")
    given = {"action": "retry", "ids": [row.id], "confirmed": "yes", "expected": 1, "reason": "r"}
    assert client.post(STEER, given).status_code == 403
    assert client.get(STEER).status_code == 405
    assert states() == {row.id: PARKED}
    for page in (HOME, f"{HOME}{row.id}/change/"):
        assert STEER not in client.get(page).content.decode()
        assert 'name="ids"' not in client.get(page).content.decode()


@pytest.mark.parametrize("back", ["https://example.com/", "//example.com", "/admin/", "/admin/jobs/job/\\..\\x", ""])
def test_only_pages_of_jobs_are_gone_back_to(operator, back):
    answer = operator.post(STEER, {"action": "retry", "back": back})
    assert (answer.status_code, answer.headers["Location"]) == (302, HOME)


def test_nothing_is_changed_by_hand(operator):
    row = parked()
    for page in (f"{HOME}add/", f"{HOME}{row.id}/delete/"):
        assert operator.get(page).status_code == 403
    operator.post(f"{HOME}{row.id}/change/", {"state": "3"})
    assert states() == {row.id: PARKED}


def test_a_workflow_is_cancelled_from_a_job(operator):
    root = job(state=JobState.SUCCEEDED)
    steps = [job(root_id=root.id) for _ in range(2)]
    page = choose(operator, "cancel_workflow", ids=[steps[0].id])
    assert said(confirm(operator, page)) == ["The workflow is cancelled; 2 jobs had not begun."]
    assert {states()[step.id] for step in steps} == {JobState.CANCELLED}


def test_backlog_and_failures_are_told(operator):
    job()
    parked()
    text = operator.get(f"{HOME}backlog/").content.decode()
    assert "?queue=orders&amp;state=scheduled" in text
    text = operator.get(f"{HOME}failures/").content.decode()
    assert f"?state=parked&amp;task={TASK}&amp;fingerprint=f1" in text


CONTROLS = "/admin/jobs/control/"


def test_a_queue_is_paused_and_resumed(operator):
    assert operator.get(CONTROLS).status_code == 200
    given = {"what": "queue:orders", "action": "pause", "reason": "the bank is away"}
    assert operator.post(f"{CONTROLS}add/", given).status_code == 302
    assert operator.post(f"{CONTROLS}add/", given).status_code == 302, "twice is once"
    row = Control.objects.get()
    assert (row.kind, row.name, row.action, row.actor) == ("queue", "orders", "pause", "ops@example.com")
    assert controls.held(None, TASK, "orders").reason == "the bank is away"
    assert operator.get(f"{CONTROLS}{row.pk}/change/").status_code == 200
    operator.post(CONTROLS, {"action": "let_go_selected", "_selected_action": [row.pk]})
    assert controls.held(None, TASK, "orders") is None
    assert [event.action for event in SteeringEvent.objects.order_by("id")] == ["pause", "pause", "resume"]


def test_a_kill_switch_is_pulled_and_released(operator):
    given = {"what": f"task:{TASK}", "action": "kill", "reason": "it charges twice"}
    assert operator.post(f"{CONTROLS}add/", given).status_code == 302
    row = Control.objects.get()
    assert controls.held(None, TASK, "orders").action == "kill"
    assert operator.post(f"{CONTROLS}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert Control.objects.count() == 0


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"what": "queue:orders", "action": "kill", "reason": "r"}, "action"),
        ({"what": "queue:nowhere", "action": "pause", "reason": "r"}, "what"),
        ({"what": "queue:orders", "action": "pause", "reason": ""}, "reason"),
    ],
)
def test_a_hold_that_makes_no_sense_is_refused(operator, given, field):
    answer = operator.post(f"{CONTROLS}add/", given)
    assert list(answer.context["adminform"].form.errors) == [field]
    assert Control.objects.count() == 0


def test_holds_are_set_by_operators_only_and_the_audit_is_read_only(sign_in, client):
    Control.objects.create(kind="queue", name="orders", action="pause", actor="ann", since=database_now())
    sign_in("view_job", "view_control", "view_steeringevent")
    row = Control.objects.get()
    assert client.get(CONTROLS).status_code == 200
    assert client.get(f"{CONTROLS}add/").status_code == 403
    client.post(CONTROLS, {"action": "let_go_selected", "_selected_action": [row.pk]})
    assert client.post(f"{CONTROLS}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Control.objects.count() == 1
    assert client.get("/admin/jobs/steeringevent/").status_code == 200
    assert client.get("/admin/jobs/steeringevent/add/").status_code == 403
