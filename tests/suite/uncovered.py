"""Tests that are marked `no_cover` run without coverage on xdist workers, too, where pytest-cov 7 goes on measuring."""

from __future__ import annotations

import sys
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Take coverage's tracer away while the test runs."""
    tracer = sys.gettrace()
    if tracer is None or not item.get_closest_marker("no_cover"):
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)
