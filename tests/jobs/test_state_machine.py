"""A job's life as a state machine: hypothesis looks for an order of events that breaks a promise.

Real rows, the real code of worker, relay, backend and operators, on SQLite; only processes and messages are played. A
message once published may be delivered at any later time, any number of times, or never. A kill is an exception that
nothing catches, thrown at a failpoint or in the body; trouble of the database is one that the platform handles. While a
lease-mode body runs, anything may happen elsewhere: so it becomes a zombie. The database's clock stands still until the
machine moves it: what was found is found again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery.app.task import Context
from celery.exceptions import WorkerLostError
from django.contrib.auth.models import Group
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)  # fmt: skip

from myproject.errors import Conflict
from myproject.jobs import deaths, failpoints, ledger, on_commit, running
from myproject.jobs.actions.discard import discard_job
from myproject.jobs.actions.retry import retry_job
from myproject.jobs.ledger import Row
from myproject.jobs.local import request_of, run_row
from myproject.jobs.models import Job, JobEvent
from myproject.jobs.publishing import BrokerUnavailable, Hint
from myproject.jobs.relay import courier, leases
from myproject.jobs.running import current_job
from myproject.jobs.states import JobState
from tests.jobs.life_stage import set_stage
from tests.jobs.life_tasks import (
    ELSEWHERE,
    MEANWHILE,
    RELAY_POINTS,
    TASKS,
    WORKER_POINTS,
    Clock,
    Killed,
    NoBroker,
    Script,
    Trouble,
    app,
    outside,
    row_of,
    snapshot,
)  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.sqlite, pytest.mark.no_cover]

#: The long form looks for new orders of events; the quick one runs the same ones each time, so that a landing fails for
#: what it changed.
LONG = os.environ.get("FAULTS_LONG") == "1"
#: Below this a bug that needs five steps in a row (message, freeze, end of the lease, second run, failure) was not
#: found when it was put in; the examples take 15 s.
EXAMPLES, STEPS = (2_000, 60) if LONG else (80, 30)

NAMES = st.sampled_from([task.name for task in TASKS])
POINTS = st.builds("{}:{}".format, st.sampled_from(WORKER_POINTS), st.sampled_from(["kill", "raise"]))


class Life(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.clean()
        self.messages: list[Hint] = []
        self.promised: dict[str, str] = {}  # the id of each committed job, and its task
        self.closed: dict[str, tuple[Any, ...]] = {}
        self.highest: dict[str, tuple[int, int]] = {}
        self.may_park: set[str] = set()  # the script, or a death that somebody saw, gave a reason
        self.fenced: list[tuple[str, tuple[Any, ...]]] = []
        self.broker_up = True
        self.processes: list[str] = []  # that run a body at this moment, each within the one before
        self.dead: set[str] = set()
        self.count = 0
        outside.ended = self._body_ended
        running.make_holder = lambda: self.processes[-1]
        leases.is_dead = self.dead.__contains__  # type: ignore[assignment]
        deaths.BE_GONE = 0.0
        deaths.may_live = lambda holder: holder not in self.dead
        on_commit.publish = self._publish  # type: ignore[assignment]
        courier.publish = self._publish  # type: ignore[assignment]

    def clean(self) -> None:
        for model in (Job, JobEvent):
            model.objects.all().delete()
        Group.objects.all().delete()
        outside.scripts.clear()
        outside.calls.clear()
        failpoints.arm("")

    # --- the parts of the play

    def _publish(self, _app: Any, hints: list[Hint], **_: Any) -> None:
        if not self.broker_up:
            raise BrokerUnavailable("The broker is away.")
        self.messages += sorted(hints, key=lambda hint: hint.id)

    def _body_ended(self) -> None:
        """Remember the row of a body whose lease is over: whatever it does now must not show."""
        execution = current_job()
        if execution is None or execution.state != JobState.RUNNING:
            return
        row = ledger.read(execution.id)
        assert row is not None
        if (row.state, row.token, row.epoch) != (JobState.RUNNING, execution.token, execution.epoch):
            self.fenced.append((execution.id, snapshot(execution.id)))

    def _deliver(self, hint: Hint, *, script: Script, point: str = "", witnessed: bool = False) -> None:
        row = row_of(hint)
        self.processes.append(f"process {self.count}")
        self.count += 1
        outside.scripts.append(script)
        count = len(outside.scripts)
        fenced, self.fenced = self.fenced, []
        failpoints.arm(point)
        killed = False
        try:
            with suppress(Trouble):  # Celery's tracer logs it, and the row is as it was
                run_row(app, row, delivery=hint.delivery)
        except Killed:
            killed = True
        failpoints.arm("")
        del outside.scripts[count - 1 :]  # its body did not run
        for task_id, before in self.fenced:
            assert snapshot(task_id) == before, f"a zombie changed the row of {task_id}"
        self.fenced = fenced
        if killed:
            self.dead.add(self.processes[-1])
        if killed and witnessed:
            self._witness(row, hint)
        self.processes.pop()

    def _witness(self, row: Row, hint: Hint) -> None:
        """Let the pool's main process see the death; what another process has claimed meanwhile is not touched."""
        self.may_park.add(row.id)
        before, now = snapshot(row.id), ledger.read(row.id)
        assert now is not None
        request = Context(request_of(app, row, delivery=hint.delivery))
        deaths.count_seen(app, row.id, request, WorkerLostError("killed"))
        if now.state == JobState.RUNNING and now.holder not in self.dead:
            assert snapshot(row.id) == before, f"the death of a zombie changed the row of {row.id}"

    def _meanwhile(self, events: list[str], task_id: str) -> Callable[[], None] | None:
        """Return what plays these events; None when the body holds its row, which keeps everybody else away."""
        if not events or self.promised.get(task_id) == "life.write":
            return None

        def play() -> None:
            for event in events:
                if event == "time":
                    self.pass_time()
                elif event == "expire":
                    self._expire()
                elif event == "relay":
                    self._relay()
                elif event == "revoke":
                    app.backend.mark_as_revoked(task_id, "revoked")
                elif len(self.processes) < 3:
                    found = [hint for hint in self.messages if hint.id == task_id]
                    if found:
                        self._deliver(found[-1], script=Script())

        return play

    def _expire(self) -> None:
        self.may_park |= {task_id for task_id, name in self.promised.items() if name == "life.park"}
        leases.expire({app.main: app})

    def _relay(self) -> None:
        one = courier.Courier(app)
        one._broker = NoBroker()  # type: ignore[assignment]
        with suppress(BrokerUnavailable):
            one.round()

    def pass_time(self) -> None:
        Clock.seconds += 40

    # --- what may happen

    @initialize(names=st.lists(NAMES, min_size=1, max_size=2))
    def begin(self, names: list[str]) -> None:
        """Some jobs are promised, so that there is something to break."""
        for name in names:
            self.send(name, None, "commit", True)

    @precondition(
        lambda self: len(self.promised) - len(self.closed) < 3
    )  # what goes wrong goes wrong with few open jobs
    @rule(
        name=NAMES,
        countdown=st.sampled_from([None, None, 10]),
        end=st.sampled_from(
            ["commit", "commit", "commit", "rollback", "insert.before", "insert.after", "commit.before"]
        ),
        named=st.booleans(),
    )
    def send(self, name: str, countdown: int | None, end: str, named: bool) -> None:
        """A caller promises a job, under an id of its own or not, and dies or changes its mind."""
        if "." in end:
            failpoints.arm(f"{end}:kill")
        key = f"k{len(self.promised)}"
        try:
            with transaction.atomic():
                task_id = key if named else None
                result = app.tasks[name].apply_async((key,), countdown=countdown, task_id=task_id)  # type: ignore[arg-type]
                if end == "rollback":
                    raise Killed
        except Killed:
            return
        finally:
            failpoints.arm("")
        self.promised[result.id] = name

    @precondition(lambda self: self.messages)
    @rule(
        pick=st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5, 9]),
        keep=st.sampled_from([True, True, False]),
        ending=st.sampled_from(["ok", "ok", "error", "snooze", "retry", "kill"]),
        before=st.lists(st.sampled_from(MEANWHILE), max_size=4),
        after=st.lists(st.sampled_from(MEANWHILE), max_size=4),
        point=st.one_of(st.just(""), POINTS),
        witnessed=st.booleans(),
        away=st.sampled_from([False, False, True]),
    )
    def deliver(
        self, pick: int, keep: bool, ending: str, before: list[str], after: list[str], point: str, witnessed: bool,
        away: bool,
    ) -> None:  # fmt: skip
        """A worker gets a message: the newest or an old one, for the first time or again."""
        hint = self.messages[-1 - pick % len(self.messages)]
        if not keep:
            self.messages.remove(hint)
        if ending in ("error", "retry"):  # a retry is given up in the end
            self.may_park.add(hint.id)
        if self.promised.get(hint.id) == "life.park":
            self.may_park.add(hint.id)
        script = Script(ending=ending, before=self._meanwhile(before, hint.id), after=self._meanwhile(after, hint.id))
        outside.away = away
        self._deliver(hint, script=script, point=point, witnessed=witnessed)
        outside.away = False

    @rule(
        events=st.lists(st.sampled_from((*ELSEWHERE, *RELAY_POINTS)), min_size=1, max_size=6),
        up=st.sampled_from([True, True, False]),
    )
    def elsewhere(self, events: list[str], up: bool) -> None:
        """Time passes, the relay works, or dies at a failpoint; the broker is away, or loses what it has."""
        self.broker_up = up
        for event in events:
            if event == "time":
                self.pass_time()
            elif event == "expire":
                self._expire()
            elif event == "flush":
                self.messages.clear()
            else:
                failpoints.arm(f"{event}:kill" if event in RELAY_POINTS else "")
                with suppress(Killed):
                    self._relay()
                failpoints.arm("")

    @precondition(lambda self: self.messages)
    @rule(
        pick=st.sampled_from([0, 0, 1, 2]),
        ending=st.sampled_from(["ok", "kill", "error", "snooze", "retry"]),
        before=st.sampled_from([["time", "expire"], ["time", "expire", "relay", "deliver"], []]),
        point=st.one_of(st.just(""), POINTS),
        witnessed=st.booleans(),
    )
    def die(self, pick: int, ending: str, before: list[str], point: str, witnessed: bool) -> None:
        """A worker dies over a recent message, maybe as a zombie."""
        self.deliver(pick, True, ending, before, [], point, witnessed, False)

    @precondition(lambda self: len(self.closed) < len(self.promised))
    @rule()
    def wait_for_relay(self) -> None:
        """As long as it takes until something is published."""
        self.broker_up = True
        self.pass_time()
        self._expire()
        self._relay()

    @rule(
        pick=st.integers(min_value=0, max_value=5),
        what=st.sampled_from(["retry", "retry", "retry", "discard", "cancel"]),
    )
    def steer(self, pick: int, what: str) -> None:
        """Somebody revokes a job; an operator retries or discards what was given up."""
        task_id = list(self.promised)[pick % len(self.promised)]
        if what == "cancel":
            app.backend.mark_as_revoked(task_id, "revoked")
            return
        with suppress(Conflict):
            (discard_job if what == "discard" else retry_job)(task_id=task_id, actor="operator")
            self.closed.pop(task_id, None)

    # --- what must hold

    @invariant()
    def what_was_promised_stands(self) -> None:
        """Each committed job has its row, and no other has one."""
        assert {task_id for (task_id,) in Job.objects.values_list("id")} == set(self.promised)

    @invariant()
    def a_life_has_one_effect(self) -> None:
        """Rows: one per life. Calls: one per life where the receiver has no key, none blindly where it can be asked."""
        rows = Counter(tuple(name.split()[:2]) for (name,) in Group.objects.values_list("name"))
        assert all(count == 1 for count in rows.values()), rows
        names = {f"k{number}": name for number, name in enumerate(self.promised.values())}
        calls: Counter[tuple[str, int]] = Counter()
        for call in outside.calls:
            calls[call.key, call.epoch] += 1
            assert not (call.known and names[call.key] == "life.lookup"), call
        for (key, epoch), count in calls.items():
            assert names[key] != "life.park" or count == 1, (key, epoch, count)

    @invariant()
    def closed_stays_closed(self) -> None:
        """Nothing but an operator changes a row that was closed."""
        for task_id, before in self.closed.items():
            assert snapshot(task_id) == before, task_id
        for task_id, state in Job.objects.values_list("id", "state"):
            if state > JobState.RUNNING:
                self.closed.setdefault(task_id, snapshot(task_id))

    @invariant()
    def numbers_only_grow(self) -> None:
        """Lives and fencing tokens never go back."""
        for task_id, epoch, token in Job.objects.values_list("id", "epoch", "token"):
            before = self.highest.get(task_id, (0, 0))
            assert epoch >= before[0] and token >= before[1], task_id
            self.highest[task_id] = epoch, token

    @invariant()
    def success_has_its_effect(self) -> None:
        """A job that says it succeeded did what it says; one that is parked has a reason."""
        for number, (task_id, name) in enumerate(self.promised.items()):
            row = Job.objects.get(id=task_id)
            if row.state == JobState.SUCCEEDED:
                key = f"k{number}"
                written = Group.objects.filter(name__startswith=f"{key} {row.epoch} ").count()
                called = sum(call.key == key for call in outside.calls)
                assert written == 1 if name == "life.write" else called, (name, row.epoch)
            if row.state == JobState.PARKED:
                assert task_id in self.may_park, name

    def teardown(self) -> None:
        """Nothing is lost: with time, a relay and workers, every job ends."""
        failpoints.arm("")
        self.broker_up = True
        for _ in range(40):
            if not Job.objects.filter(state__in=(0, 1, 2)).exists():
                break
            self.messages.clear()
            self.pass_time()
            self._expire()
            self._relay()
            for hint in list(self.messages):
                self._deliver(hint, script=Script())
        assert list(Job.objects.filter(state__in=(0, 1, 2)).values("task", "state", "epoch", "attempts")) == []
        self.a_life_has_one_effect()
        self.success_has_its_effect()
        self.clean()


@pytest.fixture
def played(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a kill be an exception, a process one that runs one job at a time, and messages be the machine's."""
    set_stage(monkeypatch)
    yield
    failpoints.arm("")
    ledger._insert_text.cache_clear()


def test_no_order_of_events_breaks_a_promise(played: None) -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not LONG,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
