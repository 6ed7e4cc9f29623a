"""What was promised and what was done. No constraint keeps a double out: doubles are to be seen, not prevented."""

from __future__ import annotations

from django.db import models


class Intent(models.Model):
    """One promise: written in the transaction that sends the task. It stands here if and only if that committed."""

    key = models.CharField(max_length=80, db_index=True)
    kind = models.CharField(max_length=20)  # which effect it owes, and where: see `tests.faults.checker`
    at = models.DateTimeField(auto_now_add=True)
    objects: models.Manager[Intent] = models.Manager()  # said, because type checks run without this app

    def __str__(self) -> str:
        return self.key


class Effect(models.Model):
    """One thing that a task did."""

    key = models.CharField(max_length=80, db_index=True)
    worker = models.CharField(max_length=80)
    at = models.DateTimeField(auto_now_add=True)
    objects: models.Manager[Effect] = models.Manager()

    def __str__(self) -> str:
        return self.key


class Oddity(models.Model):
    """Something that a task saw and that must not be, such as a chord's results in the wrong order."""

    what = models.CharField(max_length=200)
    objects: models.Manager[Oddity] = models.Manager()

    def __str__(self) -> str:
        return self.what
