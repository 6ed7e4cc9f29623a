"""A suspect's own process: `python -m myproject.jobs.alone APP ID EPOCH`. See `deaths.py`; nobody calls it by hand."""

from __future__ import annotations

import os
import sys

import django


def main(name: str, task_id: str, epoch: int) -> int:
    """Run the job. Its start was counted by who called; its death is seen by who called."""
    from myproject.celery import abandon_cart_app  # noqa: PLC0415  # after Django's set-up
    from myproject.celery import app as main_app  # noqa: PLC0415
    from myproject.jobs import ledger  # noqa: PLC0415
    from myproject.jobs.local import run_row  # noqa: PLC0415

    app = next(found for found in (main_app, abandon_cart_app) if found.main == name)
    row = ledger.read(task_id)
    if row is not None and row.epoch == epoch:
        run_row(app, row)
    return 0


if __name__ == "__main__":
    os.environ["JOBS_ALONE"] = "1"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings")
    django.setup()
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
