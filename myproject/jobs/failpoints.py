"""Places where a test makes the platform die or fail: `FAILPOINT=name:kill` or `name:raise`, several with commas.

`name:kill@3` acts at the third passage. Each place is declared here, so that a test runs every one of them and none is
forgotten. Without the variable a passage costs one look at an empty dictionary.

A test of running programs names a folder with FAILPOINT_FOLDER instead: a file `name` that holds `kill` or `raise` arms
the place in all of them, and the first passage renames it to `name.fired` and acts, once.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

#: Every failpoint and what has happened when it is reached.
NAMES = {
    "insert.before": "a durable call is complete, its row is not written",
    "insert.after": "the row is written, or waits for the COMMIT; the caller's transaction is open",
    "commit.before": "the rows that wait for the COMMIT are about to be written with it",
    "publish.before": "the caller's transaction is committed, nothing is published",
    "publish.after": "the message is published",
    "start.counted": "the start of a redelivered job is counted and committed, its body has not begun",
    "close.after": "the row is closed in the body's transaction, the body has not begun",
    "body.after": "the body of a transaction-mode job has ended, continuations are not written",
    "finish.before_commit": "result and continuations are written, the transaction is open",
    "finish.after_commit": "the transaction is committed, the worker has not acknowledged",
    "claim.before": "a lease-mode job is about to be claimed",
    "claim.after": "the claim is committed, the body has not begun",
    "release.before": "the body of a lease-mode job has ended, the row is not closed",
    "release.before_commit": "result and continuations of a lease-mode job are written, the transaction is open",
    "release.after": "the lease-mode job is closed and committed",
    "rearm.before": "a job asked for its retry, its next life is not written",
    "rearm.after": "the next life is written and committed",
    "fail.before": "the body failed for good, the failure is not recorded",
    "fail.after": "failure, error callbacks and chord errors are committed",
    "chord.counted": "a chord's part is counted, the transaction is open",
    "chord.fired": "the body of a chord is inserted, the last part's transaction is open",
    "relay.selected": "the relay has picked rows and not moved their clock",
    "relay.marked": "the relay has moved the clock of its rows and committed, nothing is published",
    "relay.published": "the relay has published its rows",
}


class FailpointError(RuntimeError):
    """Raised by a failpoint that was set to `raise`."""


_passages: dict[str, int] = {}


def _read(text: str) -> dict[str, tuple[str, int]]:
    armed = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, action = item.partition(":")
        action, _, passage = action.partition("@")
        if name not in NAMES or action not in ("kill", "raise") or not (passage or "1").isdigit():
            allowed = f"NAME:kill or NAME:raise, each with @N, NAME one of {', '.join(NAMES)}"
            raise ValueError(f"FAILPOINT: read {item!r}; allowed is {allowed}.")
        armed[name] = action, int(passage or 1)
    return armed


_armed = _read(os.environ.get("FAILPOINT", ""))
_folder = Path(os.environ["FAILPOINT_FOLDER"]) if "FAILPOINT_FOLDER" in os.environ else None


def hit(name: str) -> None:
    """Pass a failpoint. Kills the process with SIGKILL or raises FailpointError where it is armed."""
    if not _armed and _folder is None:
        return
    action = _from_folder(name) if _folder is not None else None
    if name in _armed:
        armed, passage = _armed[name]
        _passages[name] = _passages.get(name, 0) + 1
        if _passages[name] == passage:
            action = armed
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action:
        raise FailpointError(name)


def _from_folder(name: str) -> str | None:
    """Take what the folder says about a place; of several processes that pass it one takes it."""
    assert _folder is not None
    with suppress(FileNotFoundError):
        fired = (_folder / name).rename(_folder / f"{name}.fired")
        return fired.read_text()
    return None


def arm(text: str) -> None:
    """Arm the failpoints of `text` in this process and forget earlier passages; the empty text disarms all."""
    _passages.clear()
    _armed.clear()
    _armed.update(_read(text))
