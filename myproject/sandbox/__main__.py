"""`python -m myproject.sandbox serve | record [--json] | migrate`: the entry point of the stand-in."""

from __future__ import annotations

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line

from .apps import SETTINGS
from .configuration import ConfigurationError, configuration


def main(argv: list[str]) -> int:
    """Run one command under the stand-in's own settings; 2 when it may not or cannot start."""
    module = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    if "production" in module.split("."):
        print(
            f"sandbox: refused, because DJANGO_SETTINGS_MODULE is {module}. It is no payment provider.", file=sys.stderr
        )
        return 2
    if settings.configured:
        print("sandbox: refused, because importing the package already configured other settings.", file=sys.stderr)
        return 2
    os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
    try:
        configuration().database.parent.mkdir(parents=True, exist_ok=True)
    except ConfigurationError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"sandbox: SANDBOX_DATABASE: its folder cannot be made ({error.strerror}).", file=sys.stderr)
        return 2
    execute_from_command_line(["sandbox", *argv[1:]])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
