"""The test's side of the producer: loads that go on while a row does its harm."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.budgets import RECOVERY, START
from tests.servers.processes import ROOT, die_with_parent, python


class ProducerError(AssertionError):
    """The producer could not do what it was told. Read by who wrote the row: holds its error."""


@dataclass
class Made:
    """What a load did: how many intents it made, what failed in the request, and the slowest request in seconds."""

    made: int
    errors: list[str]
    slowest: float


class Answer:
    """What a command will say."""

    def __init__(self, inbox: queue.Queue[dict[str, Any]], *, stop: Path | None = None) -> None:
        """Wait for one line in `inbox`; the file `stop` ends the load early."""
        self._inbox, self._stop = inbox, stop

    def wait(self, *, timeout: float = 4 * RECOVERY) -> dict[str, Any]:
        """Return the answer. Raises ProducerError when it failed or did not come."""
        try:
            found = self._inbox.get(timeout=timeout)
        except queue.Empty:
            raise ProducerError(f"the producer gave no answer within {timeout:g} s") from None
        if "failed" in found:
            raise ProducerError(found["failed"])
        return found

    def finish(self) -> Made:
        """End a load now and return what it did."""
        assert self._stop is not None
        self._stop.touch()
        return self.made()

    def made(self) -> Made:
        """Wait until a load has made all its intents and return what it did."""
        found = self.wait()
        return Made(made=found["made"], errors=found["errors"], slowest=found["slowest"])


class Producer:
    """A running producer of one world."""

    def __init__(self, *, env: Mapping[str, str], folder: Path) -> None:
        """Start it; returns when it takes commands."""
        self._numbers = itertools.count(1)
        self._inboxes: dict[int, queue.Queue[dict[str, Any]]] = {0: queue.Queue()}
        self.log_file = folder / "producer.log"
        self._folder = folder
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [python(), "-m", "tests.faults.producer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(env),
                cwd=ROOT,
                text=True,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self._inboxes[0].get(timeout=START)
        except queue.Empty:
            self.stop()
            raise ProducerError(f"the producer did not start\n{self.log_file.read_text()[-3000:]}") from None

    @property
    def pid(self) -> int:
        """The process, for rows that kill it."""
        return self._process.pid

    def load(
        self, *, prefix: str, seed: int, count: int, pause: float = 0.0, kinds: Mapping[str, int] | None = None
    ) -> Answer:
        """Begin a load of `count` intents, by default all of them `record`; `finish()` ends it early."""
        number = next(self._numbers)
        stop = self._folder / f"stop-{self.pid}-{number}"
        options = {"prefix": prefix, "seed": seed, "count": count, "pause": pause, "stop": str(stop)}
        return self._send(number, "load", options | {"kinds": dict(kinds or {"record": 1})}, stop=stop)

    def call(self, task: str, *keys: str, args: tuple[Any, ...] = (), owes: bool = True, **options: Any) -> list[str]:
        """Send a task once for each key, in one transaction, and return the task ids (none from stock Celery)."""
        found = self.begin_call(task, *keys, args=args, owes=owes, **options).wait()
        return [str(task_id) for task_id in found["ids"]]

    def begin_call(
        self, task: str, *keys: str, args: tuple[Any, ...] = (), owes: bool = True, **options: Any
    ) -> Answer:
        """Do the same without waiting for its end, which a failpoint may prevent."""
        what = {"task": task, "keys": list(keys), "args": list(args), "owes": owes, "options": options}
        return self._send(next(self._numbers), "call", what)

    def flow(self, shape: str, key: str, *, size: int, gate: str = "") -> None:
        """Send a `chord` (its parts wait at `gate`) or a `chain`."""
        self._send(next(self._numbers), "flow", {"shape": shape, "key": key, "size": size, "gate": gate}).wait()

    def revoke(self, *ids: str, terminate: bool = False) -> None:
        """Revoke tasks."""
        self._send(next(self._numbers), "revoke", {"ids": list(ids), "terminate": terminate}).wait()

    def stop(self) -> None:
        """End the producer."""
        self._process.kill()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def is_running(self) -> bool:
        """Tell whether the process is there."""
        return self._process.poll() is None

    def _send(self, number: int, name: str, options: dict[str, Any], *, stop: Path | None = None) -> Answer:
        inbox = self._inboxes[number] = queue.Queue()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"number": number, "name": name, "options": options}) + "\n")
        self._process.stdin.flush()
        return Answer(inbox, stop=stop)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # the pipe is closed under us at the end
            for line in self._process.stdout:
                with contextlib.suppress(json.JSONDecodeError, KeyError, TypeError):
                    found = json.loads(line)
                    self._inboxes[found.pop("number")].put(found)
