"""Reads the settings with an environment of its own: a process that has the libraries forks once for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

# Importing the libraries takes a second, reading the settings a few milliseconds.
PROGRAM = """
import importlib, json, os, sys, traceback
import dj_database_url, dj_email_url, django_stubs_ext, rest_framework, myproject.environment, myproject.logging
for line in sys.stdin:
    end, start = os.pipe()
    if os.fork() == 0:
        os.environ.clear()
        os.environ.update(json.loads(line))
        try:
            importlib.import_module(os.environ["DJANGO_SETTINGS_MODULE"])
            text = ""
        except BaseException:
            text = traceback.format_exc()
        os.write(start, json.dumps(text).encode() + b"\\n")
        os._exit(0)
    os.close(start)
    with open(end) as answer:
        print(answer.readline(), end="", flush=True)
    os.wait()
"""


class Reader:
    """Tells how the settings answer to an environment."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def read(self, environment: dict[str, str]) -> str:
        """Return the traceback that the settings end with, or nothing when they are accepted."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"PATH": os.environ["PATH"], **environment}) + "\n")
        self._process.stdin.flush()
        text: str = json.loads(self._process.stdout.readline())
        return text


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """Give the process, which ends with the module's tests."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Reader(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=30)
