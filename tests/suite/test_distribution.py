"""Which tests may go to different workers, and what is begun first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.suite.distribution import ByFileAndDatabase, pytest_collection_modifyitems


class Item:
    """A test as the hook sees it."""

    def __init__(self, nodeid: str, timeout: float | None = None) -> None:
        self.nodeid, self._timeout = nodeid, timeout

    def get_closest_marker(self, name: str) -> Any:
        return None if self._timeout is None else SimpleNamespace(args=(self._timeout,))


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/a.py::test_one", "tests/a.py"),
        ("tests/a.py::test_one[sqlite-9]", "tests/a.py"),
        ("tests/a.py::test_one[9-mariadb]", "tests/a.py on MariaDB"),
        ("tests/a.py::test_mariadb_is_up[redis]", "tests/a.py"),
        ("tests/compatibility/durable/test_canvas.py::test_map", "tests/compatibility/durable/"),
    ],
)
def test_a_file_stays_together_on_each_database(nodeid: str, scope: str) -> None:
    assert ByFileAndDatabase._split_scope(None, nodeid) == scope  # type: ignore[arg-type]


@pytest.mark.parametrize(("is_worker", "first"), [(True, "tests/c.py::two"), (False, "tests/a.py::one")])
def test_files_with_a_longer_timeout_are_begun_first_on_workers(is_worker: bool, first: str) -> None:
    items: list[Any] = [Item("tests/a.py::one"), Item("tests/b.py::one", 60), Item("tests/c.py::two", 400)]
    config: Any = SimpleNamespace(workerinput={}) if is_worker else SimpleNamespace()

    pytest_collection_modifyitems(config, items)

    assert items[0].nodeid == first
    assert [item.nodeid for item in items if item.nodeid != "tests/c.py::two"] == ["tests/a.py::one", "tests/b.py::one"]
