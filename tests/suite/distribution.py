"""How xdist hands the tests to its workers: whole files, one database of a file at a time, the longest first."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from xdist.scheduler.loadfile import LoadFileScheduling

#: Folders whose files share one set of programs, which takes longer to start than the tests take.
TOGETHER = ("tests/compatibility/durable/",)
FIRST_TIMEOUT = 300
"""The default of pyproject.toml: what declares a longer one takes long and must not be begun last."""


class ByFileAndDatabase(LoadFileScheduling):
    """Like `--dist loadfile`, but the tests of a file that run on MariaDB may go to another worker than the rest.

    A file of real processes builds one platform per database, and the two have nothing in common. The files of a folder
    in TOGETHER stay together.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        file = next((folder for folder in TOGETHER if file.startswith(folder)), file)
        return f"{file} on MariaDB" if "mariadb" in test.partition("[")[2] else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Use our order for `--dist loadfile`."""
    return ByFileAndDatabase(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the files that declare the longest timeouts first, on xdist workers; within equals the order stays random."""
    if not hasattr(config, "workerinput"):
        return
    longest: defaultdict[str, float] = defaultdict(float)
    for item in items:
        marker = item.get_closest_marker("timeout")
        declared = float(marker.args[0]) if marker and marker.args else 0
        if declared > FIRST_TIMEOUT:
            longest[file_of(item)] = max(longest[file_of(item)], declared)
    items.sort(key=lambda item: -longest[file_of(item)])


def file_of(item: pytest.Item) -> str:
    """Return the file that a test stands in, as its name gives it."""
    return item.nodeid.partition("::")[0]
