"""Steering from the admin: what is to be done is counted and shown, then confirmed with a reason, then done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from myproject.errors import AppError, InvalidInput
from myproject.jobs.actions.cancel import WAITING, cancel_jobs, cancel_workflow
from myproject.jobs.actions.discard import discard_jobs
from myproject.jobs.actions.retry import retry_jobs
from myproject.jobs.actions.terminate import terminate_job
from myproject.jobs.admin.base import actor_of, may_steer
from myproject.jobs.admin.forms import ConfirmForm
from myproject.jobs.queries.filters import MOST_IDS, JobFilter
from myproject.jobs.queries.jobs import count_exactly, list_jobs
from myproject.jobs.queries.workflow import read_workflow
from myproject.jobs.states import OPEN, JobState
from myproject.jobs.steering_sql import RETRIABLE

#: The most jobs that one request changes. Cancelling is the slowest, about 500 a second, and a web server gives up
#: after 30 s.
MOST_AT_ONCE = 5_000
#: Jobs that a confirmation names, so that one sees whether they are the ones that were meant.
EXAMPLES = 10


@dataclass(frozen=True, kw_only=True)
class Verb:
    """An action that the pages offer."""

    label: str
    states: tuple[JobState, ...]
    warning: str
    run: Callable[..., str]


def _bulk(action: Callable[..., Any], *, wanted: JobFilter, expected: int, **signed: str) -> str:
    done = action(wanted=wanted, expected=expected, **signed)
    left = "; ".join(f"{task_id} was left alone: {why}" for task_id, why in done.left[:5])
    return f"{done.action}: {done.count:,} of {done.counted:,} jobs.{f' {left}.' if left else ''}"


def _workflow(*, wanted: JobFilter, expected: int, **signed: str) -> str:
    done = cancel_workflow(task_id=wanted.ids[0], **signed)
    return f"The workflow is cancelled; {done.count:,} jobs had not begun."


def _terminate(*, wanted: JobFilter, expected: int, actor: str, reason: str) -> str:
    ended = [terminate_job(task_id=task_id, actor=actor, reason=reason) for task_id in wanted.ids]
    if not all(found.told for found in ended):
        return "The workers could not be told: the broker is away. Jobs in lease mode are cancelled all the same."
    return f"{sum(found.cancelled for found in ended)} of {len(ended)} jobs were cancelled while they ran."


VERBS = {
    "retry": Verb(
        label="Retry",
        states=RETRIABLE,
        warning="They run again from the beginning, with the same arguments, as soon as a relay has published them.",
        run=partial(_bulk, retry_jobs),
    ),
    "discard": Verb(
        label="Discard",
        states=(JobState.PARKED,),
        warning="They stay undone. They can be retried until they are pruned.",
        run=partial(_bulk, discard_jobs),
    ),
    "cancel": Verb(
        label="Cancel",
        states=WAITING,
        warning="They never start; chords that they belong to fail. They can be retried until they are pruned.",
        run=partial(_bulk, cancel_jobs),
    ),
    "cancel_workflow": Verb(
        label="Cancel the workflow",
        states=tuple(JobState),
        warning="What has not begun never starts, and what runs now is the last: nothing is sent after it.",
        run=_workflow,
    ),
    "terminate": Verb(
        label="Terminate",
        states=OPEN,
        warning="The process that runs it is stopped. What it did outside the database stays done.",
        run=_terminate,
    ),
}
#: What needs jobs by name, because each is a decision of its own.
BY_NAME = ("cancel_workflow", "terminate")


def steer(request: HttpRequest, *, context: dict[str, Any]) -> HttpResponse:
    """Show what an action would do, or do it when it is confirmed."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not may_steer(request):
        raise PermissionDenied
    back = _back(request)
    try:
        name, verb, wanted = _read(request)
        form = ConfirmForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            told = verb.run(wanted=wanted, actor=actor_of(request), **form.cleaned_data)
            messages.success(request, told)
            return HttpResponseRedirect(back)
        count = _count(name, wanted)
        if count > MOST_AT_ONCE and name not in BY_NAME:
            raise InvalidInput(
                f"{count:,} jobs are more than one request changes ({MOST_AT_ONCE:,}): narrow the list, or use"
                f" `manage.py jobs {name}` with the same filter.",
                field="ids",
            )
    except AppError as error:
        messages.error(request, error.message)
        return HttpResponseRedirect(back)
    if not count:
        fits = " or ".join(state.label for state in verb.states)
        messages.warning(request, f"None of these jobs is {fits}: nothing to {verb.label.lower()}.")
        return HttpResponseRedirect(back)
    shown = {
        "title": f"{verb.label}: {count:,} job{'s' if count != 1 else ''}",
        "verb": verb,
        "action": name,
        "count": count,
        "form": form if form.is_bound else ConfirmForm(initial={"expected": count}),
        "filters": wanted.as_json(),
        "filter_text": json.dumps(wanted.as_json()),
        "examples": list_jobs(wanted, size=EXAMPLES).jobs,
        "back": back,
    }
    return TemplateResponse(request, "admin/jobs/job/confirm.html", {**context, **shown})


def _read(request: HttpRequest) -> tuple[str, Verb, JobFilter]:
    """Return the action and the jobs that are meant. Raises InvalidInput."""
    name = request.POST.get("action", "")
    if name not in VERBS:
        raise InvalidInput("Choose what is to be done.", field="action")
    verb = VERBS[name]
    ids = request.POST.getlist("ids")
    if request.POST.get("scope") == "all":
        try:
            wanted = JobFilter.from_json(json.loads(request.POST.get("filter", "{}")))
        except (ValueError, TypeError, AttributeError):
            raise InvalidInput("This is no filter.", field="filter") from None
    elif ids:
        wanted = JobFilter(ids=tuple(ids[: MOST_IDS + 1]))
    else:
        raise InvalidInput("No job was chosen: tick some, or take all that match.", field="ids")
    if name in BY_NAME:
        if not wanted.ids:
            raise InvalidInput(f"{verb.label} needs jobs by name: tick them.", field="ids")
        return name, verb, wanted
    return name, verb, wanted.within(verb.states)


def _count(name: str, wanted: JobFilter) -> int:
    if name == "cancel_workflow":
        return sum(read_workflow(wanted.ids[0]).counts.values())
    return count_exactly(wanted.within(VERBS[name].states))


def _back(request: HttpRequest) -> str:
    """Return the page that the action was chosen on; only pages of jobs are gone back to."""
    home = reverse("admin:jobs_job_changelist")
    asked = request.POST.get("back", "")
    return asked if asked.startswith(home) and "\\" not in asked else home
