"""Jobs in the admin: lists along the indexes, one job with everything known of it, and the actions of operators."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from myproject.errors import InvalidInput, NotFound
from myproject.jobs.admin.base import VIEW_ARGUMENTS, ReadOnlyAdmin, may_steer
from myproject.jobs.admin.forms import FilterForm, known_tasks
from myproject.jobs.admin.steering import BY_NAME, VERBS, steer
from myproject.jobs.ledger import database_now
from myproject.jobs.models import Job
from myproject.jobs.queries.backlog import read_backlog
from myproject.jobs.queries.failures import group_failures
from myproject.jobs.queries.filters import JobFilter
from myproject.jobs.queries.history import read_history, read_keys
from myproject.jobs.queries.jobs import Page, count_jobs, get_job, list_jobs
from myproject.jobs.queries.workflow import read_workflow
from myproject.jobs.states import JobState
from myproject.jobs.tables import age

#: States that the list offers with their counts: what waits, what runs, what needs somebody.
TABS = (JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING, JobState.PARKED)
#: Columns of indentation that the style sheet knows.
DEEPEST = 12
#: Characters of a value that is shown in one line.
SHORT = 70


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Jobs. Django's own list would count and sort the whole table, so the pages are the platform's own."""

    def get_urls(self) -> list[URLPattern]:
        """Add the pages for steering, backlog and failures."""
        wrap = self.admin_site.admin_view
        own = [
            path("steer/", wrap(self.steer_view), name="jobs_job_steer"),
            path("backlog/", wrap(self.backlog_view), name="jobs_job_backlog"),
            path("failures/", wrap(self.failures_view), name="jobs_job_failures"),
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show a page of jobs."""
        self._check(request)
        now = database_now()
        form = FilterForm(request.GET, now=now)
        page, count, wanted = Page(jobs=[]), None, JobFilter()
        if form.is_valid():
            try:
                wanted = form.wanted()
                page = list_jobs(wanted, after=form.cleaned_data["after"])
                count = count_jobs(wanted)
            except InvalidInput as error:
                form.add_error(error.field if error.field in form.fields else None, error.message)
        given = {name: request.GET.getlist(name) for name in request.GET if name != "after"}
        here = urlencode(given, doseq=True)
        return self._render(
            request,
            "list",
            title="Jobs",
            form=form,
            page=page,
            count=count,
            rows=[_row(job, now=now) for job in page.jobs],
            next=f"?{urlencode({**given, 'after': page.after}, doseq=True)}" if page.after else "",
            first=f"?{here}" if request.GET.get("after") else "",
            filter_text=json.dumps(wanted.as_json()),
            back=request.get_full_path(),
            tabs=[_tab(state, given.get("state") == [state.label]) for state in TABS],
            tasks=known_tasks(),
            verbs=[(name, verb.label) for name, verb in VERBS.items() if name not in BY_NAME],
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one job."""
        self._check(request)
        try:
            job = get_job(unquote(object_id))
            workflow = read_workflow(job.id)
        except NotFound as error:
            raise Http404(error.message) from None
        return self._render(
            request,
            "detail",
            title=f"{job.task}",
            subtitle=job.id,
            job=job,
            state=job.get_state_display(),
            facts=_facts(job, keys=read_keys(job.id)),
            call=_read_call(job) if request.user.has_perm(VIEW_ARGUMENTS) else None,  # type: ignore[union-attr]
            outcome=_read_outcome(job),
            history=read_history(job),
            workflow=workflow,
            lines=[(line, min(line.depth, DEEPEST)) for line in workflow.lines],
            alone=len(workflow.lines) == 1,
            back=request.get_full_path(),
            verbs=[
                (name, verb.label)
                for name, verb in VERBS.items()
                if job.state in verb.states
                and job.queue
                and not (name == "cancel_workflow" and len(workflow.lines) == 1)
            ],
        )

    def backlog_view(self, request: HttpRequest) -> HttpResponse:
        """Show what waits, per queue."""
        self._check(request)
        rows = [(row, age(row.oldest), age(row.overdue)) for row in read_backlog()]
        return self._render(request, "backlog", title="Backlog", rows=rows)

    def failures_view(self, request: HttpRequest) -> HttpResponse:
        """Show parked jobs by cause."""
        self._check(request)
        return self._render(request, "failures", title="Failures", rows=group_failures())

    def steer_view(self, request: HttpRequest) -> HttpResponse:
        """Show, confirm and do an action."""
        self._check(request)
        return steer(request, context=self._context(request))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The history of a job stands on its page."""
        return self.change_view(request, object_id)

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "may_steer": may_steer(request),
            "steer_url": reverse("admin:jobs_job_steer"),
        }

    def _render(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        return TemplateResponse(request, f"admin/jobs/job/{name}.html", {**self._context(request), **context})


def _tab(state: JobState, chosen: bool) -> dict[str, Any]:
    return {"label": state.label, "count": count_jobs(JobFilter(states=(state,))), "chosen": chosen}


def _row(job: Job, *, now: Any) -> dict[str, Any]:
    return {
        "job": job,
        "state": job.get_state_display(),
        "age": age((now - job.created_at).total_seconds()),
        "due": age((job.due_at - now).total_seconds()) if job.state == JobState.SCHEDULED else "",
    }


def _facts(job: Job, *, keys: dict[str, str]) -> list[tuple[str, Any]]:
    """Return what there is to know of a job, without its arguments."""
    facts = [
        *((f"business key {name}", value) for name, value in keys.items()),
        ("queue", job.queue),
        ("priority", job.priority),
        ("app", job.app),
        ("attempts", job.attempts),
        ("life", job.epoch),
        ("published again", job.deliveries),
        ("promised", job.created_at),
        ("started", job.started_at),
        ("closed", job.finished_at),
        (_DUE.get(JobState(job.state), ""), job.due_at),
        ("holder", job.holder),
        ("error", job.error),
        ("fingerprint", job.fingerprint),
    ]
    return [(name, value) for name, value in facts if name and value not in (None, "")]


#: What the clock of a row says, by its state.
_DUE = {
    JobState.SCHEDULED: "due",
    JobState.QUEUED: "message counts as lost",
    JobState.RUNNING: "lease ends",
    JobState.SUCCEEDED: "kept until",
    JobState.CANCELLED: "kept until",
    JobState.IGNORED: "kept until",
    JobState.DISCARDED: "kept until",
}


def _read_call(job: Job) -> dict[str, str]:
    """Return the arguments of a job as text."""
    try:
        args, kwargs, _ = json.loads(job.body)
    except ValueError:
        return {}
    return {"in order": _text(args), "by name": _text(kwargs)}


def _read_outcome(job: Job) -> dict[str, str]:
    """Return the result or the failure of a job as text."""
    try:
        meta = json.loads(job.meta or "{}")
    except ValueError:
        return {}
    result = meta.get("result")
    if isinstance(result, dict) and "exc_type" in result:
        text = f"{result['exc_type']}: {', '.join(str(part) for part in result.get('exc_message') or ())}"
        return {"failure": text, "traceback": meta.get("traceback") or ""}
    return {"result": _text(result) or "nothing"} if result is not None else {}


def _text(value: Any) -> str:
    """Return a value as JSON: in one line when that is short, else with one entry a line; nothing for an empty one."""
    short = json.dumps(value, ensure_ascii=False)
    if value in ([], {}):
        return ""
    return short if len(short) <= SHORT else json.dumps(value, ensure_ascii=False, indent=2)
