"""manage.py jobs: find jobs, read them, and steer them. docs/steering.md shows each command.

Exit status: 0 done; 1 nothing matched, or the action was refused; 2 wrong usage.
"""

from __future__ import annotations

import getpass
import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from myproject.errors import AppError, InvalidInput
from myproject.jobs import prune, tables
from myproject.jobs.actions.bulk import Done
from myproject.jobs.actions.cancel import WAITING, cancel_jobs, cancel_workflow
from myproject.jobs.actions.controls import hold, kill_task, let_go
from myproject.jobs.actions.discard import discard_jobs
from myproject.jobs.actions.retry import retry_jobs
from myproject.jobs.actions.terminate import terminate_job
from myproject.jobs.controls import ControlAction, ControlKind
from myproject.jobs.ledger import database_now
from myproject.jobs.models import Control
from myproject.jobs.queries.backlog import read_backlog
from myproject.jobs.queries.failures import group_failures
from myproject.jobs.queries.filters import JobFilter, read_age, read_state
from myproject.jobs.queries.history import read_history, read_keys
from myproject.jobs.queries.jobs import PAGE, count_exactly, count_jobs, get_job, list_jobs, read_search
from myproject.jobs.queries.workflow import read_workflow
from myproject.jobs.states import JobState
from myproject.jobs.steering_sql import RETRIABLE

REFUSED, USAGE = 1, 2
PARKED = (JobState.PARKED,)


class Command(BaseCommand):
    """Operators' access to jobs from a terminal."""

    help = "Find, read and steer jobs."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the commands."""
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

        def add(name: str, help: str, *, filters: bool = False, signed: bool = False) -> Any:
            found = commands.add_parser(name, help=help, description=help)
            found.add_argument("--json", action="store_true", help="print JSON and nothing else")
            if filters:
                _add_filters(found)
            if signed:
                found.add_argument("--reason", default="", help="why; the audit keeps it")
                found.add_argument("--actor", default="", help="who (default: the user of this shell)")
            return found

        found = add("list", "List jobs.", filters=True)
        found.add_argument("--limit", type=int, default=PAGE, help=f"jobs of a page (default {PAGE})")
        found.add_argument("--after", default="", help="begin where the page before ended")
        add("search", "Find jobs by id, business key, task or fingerprint.").add_argument("text")
        found = add("show", "Show one job with its history.")
        found.add_argument("id")
        found.add_argument("--arguments", action="store_true", help="show what it was called with, and its result")
        found.add_argument("--traces", action="store_true", help="show tracebacks")
        add("graph", "Show the workflow that a job belongs to.").add_argument("id")
        for name, help in (
            ("retry", "Let jobs that were given up run again."),
            ("discard", "Close parked jobs for good."),
            ("cancel", "Cancel jobs that have not begun."),
        ):
            found = add(name, help, filters=True, signed=True)
            found.add_argument("ids", nargs="*", metavar="ID")
            found.add_argument("--all", action="store_true", help="without any filter: every job that it applies to")
            found.add_argument("--yes", action="store_true", help="do not ask")
            found.add_argument("--expect", type=int, help="do not ask, and refuse when it is another number of jobs")
            found.add_argument("--slack", type=int, default=0, help="by how much the number may differ (default 0)")
        found = add("terminate", "Cancel a job and stop the process that runs it.", signed=True)
        found.add_argument("ids", nargs="+", metavar="ID")
        found.add_argument("--signal", default="SIGTERM")
        for name, help in (("pause", "Keep a queue or a task from starting jobs."), ("resume", "Undo pause.")):
            found = add(name, help, signed=True)
            found.add_argument("kind", choices=[str(kind) for kind in ControlKind])
            found.add_argument("name")
        for name, help in (("kill", "Pull the kill switch of a task."), ("release", "Undo kill.")):
            add(name, help, signed=True).add_argument("task")
        add("controls", "List what is paused and what is killed.")
        add("backlog", "Show what waits, per queue.")
        add("failures", "Show failures by cause.", filters=True)
        found = add("prune", "Delete closed jobs whose time is over.")
        found.add_argument("--limit", type=int, help="delete about so many at most")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one command."""
        given = Namespace(**options)
        try:
            getattr(self, f"do_{given.command}")(given)
        except InvalidInput as error:
            raise CommandError(error.message, returncode=USAGE) from None
        except AppError as error:
            raise CommandError(error.message, returncode=REFUSED) from None

    # --- reading

    def do_list(self, given: Namespace) -> None:
        """List jobs."""
        self._list(_read_filters(given), limit=given.limit, after=given.after, as_json=given.json)

    def do_search(self, given: Namespace) -> None:
        """List what a text finds."""
        self._list(read_search(given.text), limit=PAGE, after="", as_json=given.json)

    def _list(self, wanted: JobFilter, *, limit: int, after: str, as_json: bool) -> None:
        if limit < 1:
            raise InvalidInput("A page has at least one job.", field="limit")
        page = list_jobs(wanted, size=limit, after=after)
        if as_json:
            self._json({"jobs": [tables.job_json(job) for job in page.jobs], "after": page.after})
        elif page.jobs:
            self._lines(tables.job_lines(page.jobs, now=database_now()))
            total = count_jobs(wanted)
            self.stdout.write(f"{len(page.jobs)} of {total}{' among those looked at' if total.more else ''}.")
        if page.after and not as_json:
            self.stdout.write(f"More: --after {page.after}")
        if not page.jobs:
            raise CommandError(
                "No job matches." if not page.after else "No job matches among those looked at.", returncode=REFUSED
            )

    def do_show(self, given: Namespace) -> None:
        """Show one job."""
        job = get_job(given.id)
        moments, keys = read_history(job), read_keys(job.id)
        secret = {"body": job.body, "headers": job.headers, "outcome": job.meta} if given.arguments else {}
        if given.json:
            history = [vars(moment) for moment in moments]
            self._json({**tables.job_json(job), "keys": keys, "history": history, **secret})
            return
        shown = {**tables.job_json(job), **{f"key {name}": value for name, value in keys.items()}, **secret}
        self._lines(tables.columns([item for item in shown.items() if item[1] not in (None, "")], head=("", "")))
        self.stdout.write("")
        self._lines(tables.history_lines(moments, traces=given.traces))

    def do_graph(self, given: Namespace) -> None:
        """Show a workflow."""
        found = read_workflow(given.id)
        if given.json:
            self._json(found.as_json())
        else:
            self._lines(tables.workflow_lines(found))

    def do_backlog(self, given: Namespace) -> None:
        """Show the backlog."""
        found = read_backlog()
        self._rows(given, found, tables.backlog_lines, tables.backlog_json, nothing="No job is open.")

    def do_failures(self, given: Namespace) -> None:
        """Show failures."""
        wanted = _read_filters(given)
        found = group_failures(wanted if wanted.states else replace(wanted, states=PARKED))
        self._rows(given, found, tables.failure_lines, tables.failure_json, nothing="No job failed.")

    def do_controls(self, given: Namespace) -> None:
        """Show what is held."""
        found = list(Control.objects.order_by("kind", "name", "action"))
        self._rows(given, found, tables.control_lines, tables.control_json, nothing="Nothing is held.")

    # --- steering

    def do_retry(self, given: Namespace) -> None:
        """Retry jobs."""
        self._bulk(given, retry_jobs, RETRIABLE)

    def do_discard(self, given: Namespace) -> None:
        """Discard jobs."""
        self._bulk(given, discard_jobs, PARKED)

    def do_cancel(self, given: Namespace) -> None:
        """Cancel jobs, or a workflow."""
        if given.workflow and _read_filters(given) == JobFilter(roots=(given.workflow,)):
            count = sum(read_workflow(given.workflow).counts.values())
            self._confirm(given, "cancel", count, what="what has not begun of a workflow of {} jobs")
            self._done(given, cancel_workflow(task_id=given.workflow, actor=_actor(given), reason=given.reason))
            return
        self._bulk(given, cancel_jobs, WAITING)

    def _bulk(self, given: Namespace, action: Callable[..., Done], states: tuple[JobState, ...]) -> None:
        wanted = _read_filters(given)
        if wanted == JobFilter() and not given.all:
            raise InvalidInput("Name jobs, give a filter, or say --all.", field="ids")
        wanted = wanted.within(states)
        count = count_exactly(wanted)
        if not count:
            labels = " or ".join(state.label for state in wanted.states)
            raise CommandError(f"No job matches that is {labels}.", returncode=REFUSED)
        expected = self._confirm(given, given.command, count)
        signed = {"actor": _actor(given), "reason": given.reason}
        self._done(given, action(wanted=wanted, expected=expected, slack=given.slack, **signed))

    def _confirm(self, given: Namespace, verb: str, count: int, what: str = "{} jobs") -> int:
        """Have the count confirmed, by --yes, by --expect or by typing it. Return the confirmed count."""
        if given.expect is not None:
            return int(given.expect)
        if given.yes:
            return count
        if not sys.stdin.isatty():
            raise InvalidInput(f"{count:,} jobs match; say --yes or --expect {count}.", field="yes")
        self.stderr.write(f"This will {verb} {what.format(f'{count:,}')}. Type {count} to go on: ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().replace(",", "") != str(count):
            raise CommandError("Nothing was done.", returncode=REFUSED)
        return count

    def _done(self, given: Namespace, done: Done) -> None:
        if given.json:
            self._json({"action": done.action, "count": done.count, "counted": done.counted, "left": done.left})
        else:
            self.stdout.write(f"{done.action}: {done.count:,} of {done.counted:,} jobs.")
            self._lines(f"left alone: {task_id}: {why}" for task_id, why in done.left)
        if done.counted and not done.count:
            raise CommandError("No job was changed.", returncode=REFUSED)

    def do_terminate(self, given: Namespace) -> None:
        """Terminate jobs."""
        ended = {
            task_id: terminate_job(task_id=task_id, actor=_actor(given), reason=given.reason, signal=given.signal)
            for task_id in given.ids
        }
        if given.json:
            self._json({task_id: vars(found) for task_id, found in ended.items()})
        for task_id, found in ended.items():
            if not given.json:
                told = "" if found.told else "; the workers could not be told"
                self.stdout.write(f"{task_id}: {'cancelled' if found.cancelled else found.state}{told}")
        if not all(found.cancelled for found in ended.values()):
            raise CommandError("Not every job was cancelled.", returncode=REFUSED)

    def do_pause(self, given: Namespace) -> None:
        """Pause a queue or a task."""
        hold(kind=ControlKind(given.kind), name=given.name, actor=_actor(given), reason=given.reason)
        self._say(given, f"The {given.kind} {given.name} is paused.")

    def do_resume(self, given: Namespace) -> None:
        """Resume a queue or a task."""
        let_go(kind=ControlKind(given.kind), name=given.name, actor=_actor(given), reason=given.reason)
        self._say(given, f"The {given.kind} {given.name} goes on.")

    def do_kill(self, given: Namespace) -> None:
        """Pull a kill switch."""
        count = kill_task(name=given.task, actor=_actor(given), reason=given.reason)
        self._say(given, f"The task {given.task} is stopped; {count} running jobs were terminated.")

    def do_release(self, given: Namespace) -> None:
        """Release a kill switch."""
        signed = {"actor": _actor(given), "reason": given.reason}
        let_go(kind=ControlKind.TASK, name=given.task, action=ControlAction.KILL, **signed)
        self._say(given, f"The task {given.task} goes on.")

    def do_prune(self, given: Namespace) -> None:
        """Prune closed jobs."""
        self._say(given, f"{prune.prune(limit=given.limit):,} rows were deleted.")

    # --- printing

    def _lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write(line)

    def _json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, cls=DjangoJSONEncoder, indent=2))

    def _say(self, given: Namespace, text: str) -> None:
        if given.json:
            self._json({"done": text})
        else:
            self.stdout.write(text)

    def _rows(self, given: Namespace, found: list[Any], lines: Any, as_json: Any, *, nothing: str) -> None:
        if given.json:
            self._json([as_json(row) for row in found])
        elif found:
            self._lines(lines(found))
        else:
            self.stdout.write(nothing)


def _add_filters(parser: Any) -> None:
    parser.add_argument("--state", action="append", default=[], help="one of the states; may be repeated")
    parser.add_argument("--task", default="", help="a task's name; an old one means the present one")
    parser.add_argument("--queue", default="")
    parser.add_argument("--older", default="", metavar="AGE", help="promised longer ago than 90s, 15m, 2h, 7d")
    parser.add_argument("--newer", default="", metavar="AGE", help="promised within the last 90s, 15m, 2h, 7d")
    parser.add_argument("--fingerprint", default="", help="errors of one cause, as `failures` shows them")
    parser.add_argument("--key", default="", metavar="[NAME=]VALUE", help="a business key, such as order=536365")
    parser.add_argument("--workflow", default="", metavar="ID", help="what came from one call")


def _read_filters(given: Namespace) -> JobFilter:
    now = database_now()
    name, equals, value = given.key.partition("=")
    return JobFilter(
        states=tuple(read_state(text) for text in given.state),
        task=given.task,
        queue=given.queue,
        roots=(given.workflow,) if given.workflow else (),
        ids=tuple(getattr(given, "ids", ())),
        key=value if equals else given.key,
        key_name=name if equals else "",
        fingerprint=given.fingerprint,
        created_before=now - read_age(given.older) if given.older else None,
        created_after=now - read_age(given.newer) if given.newer else None,
    )


def _actor(given: Namespace) -> str:
    return given.actor or f"shell:{getpass.getuser()}"
