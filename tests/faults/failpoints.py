"""Failpoints of running programs: armed by the test one at a time, acting once. See `myproject.jobs.failpoints`."""

from __future__ import annotations

from pathlib import Path

from tests.faults.budgets import STEP
from tests.servers.processes import wait_until

#: Whose failpoints are armed apart from each other: the same place is passed by the site and by a worker.
KINDS = ("site", "worker", "relay")


class Failpoints:
    """The failpoints of one world's programs."""

    def __init__(self, folder: Path) -> None:
        """Use a folder within `folder` for each kind of program."""
        self.folder = folder
        for kind in KINDS:
            (folder / kind).mkdir(parents=True, exist_ok=True)

    def env(self, kind: str) -> dict[str, str]:
        """Return what the environment of such a program must hold."""
        return {"FAILPOINT_FOLDER": str(self.folder / kind)}

    def arm(self, kind: str, name: str, action: str) -> None:
        """Have the next program of that kind that passes `name` act: `kill` or `raise`."""
        unfinished = self.folder / "unfinished"
        unfinished.write_text(action)
        unfinished.rename(self.folder / kind / name)

    def wait_fired(self, kind: str, name: str) -> None:
        """Wait until a program has passed an armed failpoint and acted."""
        fired = self.folder / kind / f"{name}.fired"
        wait_until(fired.exists, timeout=STEP, what=f"{name} in a {kind}")

    def clear(self) -> None:
        """Disarm all and forget what fired."""
        for kind in KINDS:
            for file in (self.folder / kind).iterdir():
                file.unlink(missing_ok=True)
