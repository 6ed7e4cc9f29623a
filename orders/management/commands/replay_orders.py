"""`manage.py replay_orders FILE`: a retailer's real orders and cancellations through the whole platform."""

from __future__ import annotations

import json
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone
from rich.console import Console

from myproject.environment import read
from orders.replay.batches import BatchBusy, BatchLost
from orders.replay.client import Connections
from orders.replay.driver import NotReady, Outcome, replay_file
from orders.replay.progress import choose_watcher
from orders.replay.reader import RetailFileError
from orders.replay.report import print_tables, select_object

RECONCILED, COULD_NOT_START, DIFFERENT, ROWS_REJECTED, INTERRUPTED = 0, 2, 3, 4, 130

WORKERS = 4
"""Threads that send. Their work is waiting: four keep two web processes busy and leave the cores to the workers."""

PATIENCE = 420
"""Seconds without any progress before a run gives up; the sweep tries a refund that the provider failed after 300."""


class Command(BaseCommand):
    """Replays a retail file and reconciles it; the contract is in docs/replay.md."""

    help = "Send the sales and cancellations of a retail file through the platform and reconcile the money."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", type=Path, metavar="FILE", help="CSV of the retail form, plain or gzipped")
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object on standard output, nothing else"
        )
        parser.add_argument("--workers", type=_positive, default=WORKERS, metavar="N", help="threads that send")
        parser.add_argument(
            "--wait",
            type=_positive,
            default=PATIENCE,
            metavar="SECONDS",
            help="how long nothing may move before the run gives up",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, print, and end with the exit status of the contract."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        errors = _console(stderr=True)
        try:
            outcome = self._replay(options)
        except (RetailFileError, NotReady, BatchBusy) as error:
            errors.print(f"cannot start: {error}", markup=False, highlight=False, soft_wrap=True)
            sys.exit(COULD_NOT_START)
        except (BatchLost, httpx.HTTPError) as error:
            errors.print(f"not reconciled: {error}", markup=False, highlight=False, soft_wrap=True)
            sys.exit(DIFFERENT)
        except KeyboardInterrupt:
            errors.print("interrupted; the same command goes on where this run was", highlight=False)
            sys.exit(INTERRUPTED)
        if outcome.repeated:
            errors.print("this file was replayed before; nothing was done", highlight=False)
        print_tables(outcome.report, console=errors if options["json"] else _console(stderr=False))
        if options["json"]:
            self.stdout.write(json.dumps(select_object(outcome.report)))
        sys.exit(_choose_status(outcome))

    def _replay(self, options: dict[str, Any]) -> Outcome:
        with choose_watcher() as watcher:
            return replay_file(
                path=options["file"],
                connections=_read_connections(),
                workers=options["workers"],
                patience=options["wait"],
                watcher=watcher,
                clock=timezone.now,
            )


def _console(*, stderr: bool) -> Console:
    """A terminal has its own width; in a file or a pipe the table is not folded to eighty columns."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 120)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"read {text!r}; allowed is a whole number above 0")
    return int(text)


def _read_connections() -> Connections:
    token = read("str", "REPLAY_API_TOKEN", "", allowed="the API token of a service account", secret=True)
    token = token or read("str", "BOOTSTRAP_SERVICE_TOKEN", "", allowed="the same", secret=True)
    if not token:
        raise NotReady("REPLAY_API_TOKEN: read nothing; allowed is the API token of a service account.")
    return Connections(
        site_url=settings.SITE_URL,
        token=token,
        provider_url=settings.JUSPAY_BASE_URL,
        provider_key=settings.JUSPAY_API_KEY,
        merchant_id=settings.JUSPAY_MERCHANT_ID,
    )


def _choose_status(outcome: Outcome) -> int:
    if not outcome.reconciled:
        return DIFFERENT
    return ROWS_REJECTED if outcome.report["rejected"]["rows"] else RECONCILED
