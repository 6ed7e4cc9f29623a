"""Where tasks wait for the test and the test for tasks: files in one folder, so that neither needs the other alive.

A task announces that it is there (`arrive`) and waits until the test opens its gate. A kill in between hits it in the
middle of its body, each time and on every machine.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

VARIABLE = "FAULTS_GATES"
#: Below what anybody notices and above what costs a core.
LOOK_EVERY = 0.02


class Gates:
    """The gates of one world."""

    def __init__(self, folder: Path | str | None = None) -> None:
        """Use `folder`, by default the one that the environment names."""
        self.folder = Path(folder or os.environ[VARIABLE])

    def arrive(self, name: str) -> None:
        """Say, from within a task, that it has come as far as `name`; one line for each time."""
        with (self.folder / f"{_file(name)}.here").open("a") as notes:
            notes.write(f"{os.getpid()}\n")

    def pass_through(self, name: str, *, give_up: float = 600) -> None:
        """Wait until the gate is open. Gives up in the end, so that no test leaves a process behind."""
        deadline = time.monotonic() + give_up
        while not self.is_open(name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"gate {name} stayed closed for {give_up:g} s")
            time.sleep(LOOK_EVERY)

    def open(self, name: str) -> None:
        """Let everybody through, now and later."""
        (self.folder / f"{_file(name)}.open").touch()

    def is_open(self, name: str) -> bool:
        """Tell whether a gate is open."""
        return (self.folder / f"{_file(name)}.open").exists()

    def close(self, name: str) -> None:
        """Keep everybody out who is not through yet."""
        (self.folder / f"{_file(name)}.open").unlink(missing_ok=True)

    def arrivals(self, name: str) -> list[int]:
        """Return the process of each arrival so far, in order."""
        notes = self.folder / f"{_file(name)}.here"
        return [int(line) for line in notes.read_text().split()] if notes.exists() else []

    def clear(self) -> None:
        """Forget all gates and arrivals; every gate is closed."""
        for file in self.folder.iterdir():
            file.unlink(missing_ok=True)


def _file(name: str) -> str:
    return name.replace("/", "_")
