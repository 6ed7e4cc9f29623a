"""The tables of the task platform.

`Job` is the promise. Its rows are written by `ledger.py` alone, in SQL, because the insert rides the caller's
transaction and the close rides the body's: both are on the hot path. Times are UTC by the database's clock.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from myproject.append_only import AppendOnlyModel
from myproject.fields import CodeField
from myproject.jobs.states import JobState

#: The longest task id: what MySQL indexes in utf8mb4 under every row format. Celery's own ids have 36 characters.
ID_LENGTH = 191


class Job(models.Model):
    """One promised task, under its Celery task id."""

    id = CodeField(primary_key=True, max_length=ID_LENGTH)
    app = models.CharField(max_length=32)
    task = CodeField(max_length=255)
    queue = CodeField(max_length=191)
    priority = models.PositiveSmallIntegerField(db_default=0)
    state = models.PositiveSmallIntegerField(choices=JobState, db_default=JobState.QUEUED)
    #: The one clock of the row. Scheduled: when it may run; queued: when its message counts as lost; running: when
    #: its lease ends; closed: when it may be pruned.
    due_at = models.DateTimeField()
    epoch = models.PositiveIntegerField(db_default=0)  # its life: +1 at each retry, replacement and operator's retry
    attempts = models.PositiveSmallIntegerField(db_default=0)  # starts and deaths that were counted against it
    deliveries = models.PositiveIntegerField(db_default=0)  # times that the relay published it
    token = models.PositiveIntegerField(db_default=0)  # fencing token: +1 at each claim
    holder = CodeField(max_length=191, null=True)  # who claimed it: host, boot, process
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    root_id = CodeField(max_length=ID_LENGTH, null=True)  # of its workflow; null: itself
    parent_id = CodeField(max_length=ID_LENGTH, null=True)
    group_id = CodeField(max_length=ID_LENGTH, null=True)
    body = models.TextField()  # JSON [args, kwargs, embed]: the message's body
    headers = models.TextField(null=True)  # JSON object: the headers that its task does not always have
    options = models.TextField(null=True)  # JSON object: options of publishing that are unusual
    meta = models.TextField(null=True)  # JSON object: the outcome as Celery's backends store it
    error = models.CharField(max_length=255, null=True)  # the last error's class and first line
    fingerprint = models.CharField(max_length=16, null=True)  # the same for errors of one cause

    class Meta:
        indexes = [
            # The relay's, the pruner's and every list's: each of them reads one state, most of them one queue.
            models.Index(fields=["state", "queue", "priority", "due_at"], name="job_due"),
            models.Index(fields=["task", "state"], name="job_task"),
            models.Index(fields=["root_id"], name="job_root"),
        ]
        permissions = [
            ("view_arguments", "Can see the arguments of jobs"),
            ("steer_job", "Can retry, discard, cancel, pause and stop jobs"),
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.id}"


class JobKey(models.Model):
    """A business key of a job, such as an order's number: how people find it."""

    job_id = CodeField(max_length=ID_LENGTH)
    name = CodeField(max_length=40)
    value = CodeField(max_length=191)

    class Meta:
        indexes = [models.Index(fields=["name", "value"], name="job_key_value")]
        constraints = [models.UniqueConstraint(fields=["job_id", "name"], name="job_key_once")]

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


class JobEvent(models.Model):
    """What happened to a job, other than that it ran well: failed attempts, kills, operators' decisions."""

    job_id = CodeField(max_length=ID_LENGTH)
    at = models.DateTimeField()
    kind = CodeField(max_length=20)  # ledger.EventKind
    epoch = models.PositiveIntegerField()
    attempts = models.PositiveSmallIntegerField()
    error = models.CharField(max_length=255, null=True)
    fingerprint = models.CharField(max_length=16, null=True)
    traceback = models.TextField(null=True)
    worker = CodeField(max_length=191, null=True)
    actor = CodeField(max_length=191, null=True)

    class Meta:
        indexes = [
            models.Index(fields=["job_id", "id"], name="job_event_job"),
            # The way from a cause to its jobs. Here and not on the jobs, where every insert would pay for it.
            models.Index(fields=["fingerprint", "job_id"], name="job_event_fingerprint"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.job_id}"


class UniqueKey(models.Model):
    """At most one open job for each key: the row lives as long as the job is open."""

    key = CodeField(primary_key=True, max_length=191)
    job_id = CodeField(max_length=ID_LENGTH, db_index=True)

    def __str__(self) -> str:
        return self.key


class ConcurrencySlot(models.Model):
    """At most one running job for each key: its lock (transaction mode) or its holder (lease mode)."""

    key = CodeField(primary_key=True, max_length=191)
    job_id = CodeField(max_length=ID_LENGTH, null=True)
    until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())  # the pruner's: a free place goes after a day

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="job_slot_created")]

    def __str__(self) -> str:
        return self.key


class Chord(models.Model):
    """The counter of one chord's header: its lock puts the last statements of the parts in line."""

    id = CodeField(primary_key=True, max_length=ID_LENGTH)  # the group id of the header
    size = models.PositiveIntegerField(null=True)
    returned = models.PositiveIntegerField(db_default=0)
    fired = models.BooleanField(db_default=False)  # the body is sent: once
    structure = models.TextField(null=True)  # JSON: GroupResult.as_tuple() of the header, for the results' order
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.id


class ChordPart(models.Model):
    """The result of one part of a chord's header."""

    chord_id = CodeField(max_length=ID_LENGTH)
    task_id = CodeField(max_length=ID_LENGTH)
    ordinal = models.PositiveIntegerField(null=True)
    value = models.TextField()  # JSON [state, encoded result]

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chord_id", "task_id"], name="chord_part_once")]

    def __str__(self) -> str:
        return f"{self.chord_id} {self.task_id}"


class SavedGroup(models.Model):
    """What `GroupResult.save()` keeps."""

    id = CodeField(primary_key=True, max_length=ID_LENGTH)
    result = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.id


class Control(models.Model):
    """A queue or a task that operators hold: paused, or stopped by the kill switch. It outlives every restart."""

    kind = CodeField(max_length=10)  # "queue" or "task"
    name = CodeField(max_length=191)
    action = CodeField(max_length=10)  # "pause" or "kill"
    reason = models.CharField(max_length=255, blank=True)
    actor = CodeField(max_length=191)
    since = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "name", "action"], name="control_once")]

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.name}"


class SteeringEvent(AppendOnlyModel):
    """Who steered what, when, why, and how many jobs that reached."""

    at = models.DateTimeField(db_index=True)
    actor = CodeField(max_length=191)
    action = CodeField(max_length=20)
    filters = models.JSONField()
    count = models.PositiveIntegerField()
    reason = models.CharField(max_length=255, blank=True)

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"


class Relay(models.Model):
    """One relay process, as it last reported itself: health and operators read it."""

    id = CodeField(primary_key=True, max_length=191)  # host:pid
    seen_at = models.DateTimeField()
    report = models.JSONField()

    def __str__(self) -> str:
        return self.id


class BrokerMark(models.Model):
    """What the relays last wrote into one app's broker. A broker that says otherwise was flushed or went back."""

    app = models.CharField(primary_key=True, max_length=32)
    mark = models.CharField(max_length=64)
    count = models.PositiveBigIntegerField(db_default=0)
    lost_at = models.DateTimeField(null=True)  # when a loss was noticed: everything published before goes out again

    def __str__(self) -> str:
        return self.app
