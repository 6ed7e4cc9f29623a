"""`manage.py relay` with the benchmarks' tasks registered, so that it knows their headers."""

from __future__ import annotations

import sys

from django.core.management import call_command

import tests.benchmarks.ours  # noqa: F401  # sets Django up

if __name__ == "__main__":
    sys.exit(call_command("relay", *sys.argv[1:]))
