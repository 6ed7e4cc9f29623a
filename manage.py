#!/usr/bin/env python
"""Django's command line for the project."""

import os
import sys


def main() -> None:
    """Run one management command under the development settings, unless the environment names others."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings.development")
    if "migrate" in sys.argv[1:2]:
        # Seconds: a day. An index on a large table takes hours, and one that was given up on is half of a migration.
        os.environ.setdefault("DATABASE_READ_TIMEOUT", "86400")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
