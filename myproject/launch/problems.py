"""What stops a command, told in one line with its remedy, and the exit statuses."""

from __future__ import annotations

OK = 0
FAILED = 1  # status: not healthy; anything nobody foresaw
COULD_NOT_START = 2
INTERRUPTED = 130


class Problem(Exception):
    """The command cannot go on. Read by whoever typed it: `what` happened and the `remedy`, printed as one line."""

    def __init__(self, what: str, remedy: str, *, status: int = COULD_NOT_START) -> None:
        """Keep the two halves of the line and the exit status."""
        super().__init__(what, remedy)
        self.what, self.remedy, self.status = what, remedy, status

    def __str__(self) -> str:
        """Return the line."""
        return f"{self.what}: {self.remedy}"
