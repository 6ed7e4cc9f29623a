"""Import a product file."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from catalog.actions import import_products
from catalog.actions.demo import CODE
from catalog.actions.imports import ImportReport
from myproject.errors import AppError

#: Exit statuses: 0 all rows imported or unchanged, 4 some rows rejected, 2 could not start or read, 130 interrupted.
REJECTED, FAILED, INTERRUPTED = 4, 2, 130

#: Seconds between two progress lines where there is no terminal.
PLAIN_INTERVAL = 5.0


class Command(BaseCommand):
    """`manage.py import_products FILE [--demo-prices] [--price-list CODE]`."""

    help = (
        "Import products, categories and tags from a .csv or .csv.gz file; a second run changes nothing. "
        "Exit status: 0 imported, 4 imported but rows were rejected, 2 could not read the file, 130 interrupted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("file", type=Path, help="the product file (.csv or .csv.gz)")
        parser.add_argument(
            "--demo-prices", action="store_true", help="give every product a made-up price and opening stock"
        )
        parser.add_argument(
            "--price-list", metavar="CODE", default=CODE, help=f"the list that --demo-prices fills (default: {CODE})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Import, show progress, end with the counts."""
        if options["price_list"] != CODE and not options["demo_prices"]:
            raise CommandError("--price-list names the list that --demo-prices fills: give both.", returncode=FAILED)
        started = self._last_shown = time.monotonic()
        try:
            report = import_products(
                path=options["file"],
                now=timezone.now(),
                demo_prices=options["demo_prices"],
                price_list=options["price_list"],
                progress=self._show_progress,
            )
        except AppError as error:
            raise CommandError(error.message, returncode=FAILED) from error
        except KeyboardInterrupt:
            self.stderr.write("interrupted; what was imported stays, the next run goes on")
            sys.exit(INTERRUPTED)
        self._end_progress()
        self._show_report(report, seconds=time.monotonic() - started)
        if report.rejected:
            sys.exit(REJECTED)

    def _show_progress(self, rows: int) -> None:
        """Rewrite one line on a terminal; elsewhere write one every few seconds."""
        if self.stderr.isatty():
            self.stderr.write(f"\r{rows:,} rows", ending="")
            self.stderr.flush()
        elif time.monotonic() - self._last_shown >= PLAIN_INTERVAL:
            self._last_shown = time.monotonic()
            self.stderr.write(f"{rows:,} rows")

    def _end_progress(self) -> None:
        if self.stderr.isatty():
            self.stderr.write("")

    def _show_report(self, report: ImportReport, *, seconds: float) -> None:
        for row in report.rejected:
            self.stderr.write(f"line {row.line}: {row.reason}")
        self.stdout.write(
            f"{report.rows:,} rows: {report.created:,} created, {report.changed:,} changed, "
            f"{report.unchanged:,} unchanged, {len(report.rejected):,} rejected; "
            f"{report.categories:,} categories and {report.tags:,} tags new; "
            f"{report.prices:,} prices and {report.receipts:,} receipts written; {seconds:.1f} s"
        )
