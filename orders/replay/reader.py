"""Reads a retail invoice file line by line; a bad row becomes a :class:`Rejection` and touches no other row.

The form: one row per line of text, eight named columns, comma separated, optionally gzipped. A line is read on its own,
so a stray quotation mark cannot swallow the lines after it. Each line is UTF-8 or, where it is not, Latin-1 (the data
set exists in both).
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from io import BufferedIOBase
from pathlib import Path
from zoneinfo import ZoneInfo

HEADER = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")

RETAILER_ZONE = ZoneInfo("Europe/London")
"""The file's times carry no zone: they are the wall clock of the retailer."""

MAX_QUANTITY = 10_000_000
"""A hundred times the largest real line; the import refuses more units, and a shifted column is likelier than these."""

MAX_UNIT_PRICE = Decimal("9999999.9999")
"""Ten million pounds apiece: beyond it a shifted column is likelier than a price."""

PRICE_DECIMALS = 4
"""The platform keeps unit prices exact to four decimals; a finer one would be changed silently, so it is refused."""

EARLIEST_YEAR = 1900
"""Before it the retailer's zone is off by seconds, which no interface can write; an invoice is not that old anyway."""

# What the columns of the platform hold; a longer text is refused, never cut.
MAX_INVOICE_LENGTH = 64
MAX_STOCK_CODE_LENGTH = 64
MAX_DESCRIPTION_LENGTH = 255
MAX_CUSTOMER_LENGTH = 64
MAX_COUNTRY_LENGTH = 64

_QUANTITY = re.compile(r"[+-]?[0-9]+(?:\.0+)?")
_PRICE = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2})?")
_FLOAT_CUSTOMER = re.compile(r"([0-9]+)\.0+")


class RetailFileError(Exception):
    """The file as a whole is not of the retail form; read by the person at the command line."""


class BadRow(Exception):
    """One row cannot be taken; the message is the reason shown in the report."""


@dataclass(frozen=True, slots=True)
class RetailRow:
    """One good line of the file; ``line_number`` counts from 1, the header being line 1."""

    line_number: int
    invoice: str
    stock_code: str
    description: str
    quantity: int
    invoiced_at: datetime
    unit_price: Decimal
    customer: str
    """Empty for a guest."""
    country: str

    @property
    def value(self) -> Decimal:
        """Quantity times price, exact and signed."""
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class Rejection:
    """One line that is not taken, with the reason and, where it could be read, the money it names."""

    line_number: int
    reason: str
    value: Decimal | None = None


@dataclass(frozen=True, slots=True)
class RetailFile:
    """A whole file: its good rows in file order, what was rejected, and the hash that makes it one batch."""

    content_hash: str
    """SHA-256 of the uncompressed bytes: the same lines packed again are the same batch."""
    lines: int
    """Every data line read, good or rejected."""
    rows: tuple[RetailRow, ...]
    rejections: tuple[Rejection, ...]


def read_file(path: Path) -> RetailFile:
    """Read the whole file at ``path``, gzipped or plain; raise :class:`RetailFileError` when it is not of the form."""
    digest = hashlib.sha256()
    rows: list[RetailRow] = []
    rejections: list[Rejection] = []
    try:
        with _open(path) as stream:
            for item in read_rows(_hashed(stream, digest)):
                if isinstance(item, RetailRow):
                    rows.append(item)
                else:
                    rejections.append(item)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RetailFileError(f"{path.name} is a damaged gzip file: {error}") from error
    except OSError as error:
        raise RetailFileError(f"{path.name} cannot be read: {error.strerror or error}") from error
    return RetailFile(
        content_hash=digest.hexdigest(),
        lines=len(rows) + len(rejections),
        rows=tuple(rows),
        rejections=tuple(rejections),
    )


def read_rows(lines: Iterator[bytes]) -> Iterator[RetailRow | Rejection]:
    """Yield one row or one rejection per data line; lines that are blank altogether are no rows."""
    header = next(lines, b"")
    _check_header(header)
    parser = _RowParser()
    for line_number, raw in enumerate(lines, start=2):
        line = _decode(raw).rstrip("\r\n")
        if not line.strip():
            continue
        fields: list[str] = []
        try:
            fields = _split(line)
            yield parser.parse(line_number, fields)
        except BadRow as error:
            yield Rejection(line_number=line_number, reason=str(error), value=_readable_value(fields))


def _open(path: Path) -> BufferedIOBase:
    """Open a file by its content, not by its name: gzip announces itself in its first two bytes."""
    with path.open("rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


def _hashed(stream: BufferedIOBase, digest: hashlib._Hash) -> Iterator[bytes]:
    for line in stream:
        digest.update(line)
        yield line


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _check_header(raw: bytes) -> None:
    names = tuple(name.strip().strip('"') for name in _decode(raw).lstrip("\ufeff").rstrip("\r\n").split(","))
    if names != HEADER:
        raise RetailFileError(
            f"the first line must name the columns {','.join(HEADER)}; it reads {','.join(names)[:200]!r}"
        )


def _split(line: str) -> list[str]:
    """Cut one line into its fields; quoting is the exception in these files and costs only the lines that use it."""
    if '"' not in line:
        fields = line.split(",")
    else:
        try:
            fields = next(csv.reader([line], strict=True))
        except csv.Error as error:
            raise BadRow(f"quotation marks do not pair up: {error}") from error
    if len(fields) != len(HEADER):
        raise BadRow(f"{len(fields)} columns instead of {len(HEADER)}")
    if "\x00" in line:
        raise BadRow("contains a NUL character")
    return fields


def _readable_value(fields: list[str]) -> Decimal | None:
    """The money a rejected row names, where both numbers can be read."""
    if len(fields) != len(HEADER):
        return None
    quantity, price = fields[3].strip(), fields[5].strip()
    if _QUANTITY.fullmatch(quantity) and _PRICE.fullmatch(price) and len(quantity) + len(price) < 40:
        return int(quantity.split(".")[0]) * Decimal(price)
    return None


class _RowParser:
    """Turns fields into a row; remembers what it has read, for prices, moments and codes repeat thousands of times."""

    def __init__(self) -> None:
        self._prices: dict[str, Decimal] = {}
        self._moments: dict[str, datetime] = {}
        self._texts: dict[str, str] = {}

    def parse(self, line_number: int, fields: list[str]) -> RetailRow:
        invoice, code, description, quantity, moment, price, customer, country = fields
        if not invoice.strip():
            raise BadRow("invoice number is missing")
        if not code.strip():
            raise BadRow("stock code is missing")
        return RetailRow(
            line_number=line_number,
            invoice=self._text(invoice, MAX_INVOICE_LENGTH, "invoice number"),
            stock_code=self._text(code, MAX_STOCK_CODE_LENGTH, "stock code"),
            description=self._text(description, MAX_DESCRIPTION_LENGTH, "description"),
            quantity=self._quantity(quantity.strip()),
            invoiced_at=self._moment(moment.strip()),
            unit_price=self._price(price.strip()),
            customer=self._customer(customer.strip()),
            country=self._text(country.strip(), MAX_COUNTRY_LENGTH, "country"),
        )

    def _text(self, text: str, longest: int, name: str) -> str:
        if len(text) > longest:
            raise BadRow(f"{name} is longer than {longest} characters")
        return self._texts.setdefault(text, text)

    def _customer(self, text: str) -> str:
        """Numbers that went through a spreadsheet read ``17850.0``: the customer is ``17850``."""
        match = _FLOAT_CUSTOMER.fullmatch(text)
        return self._text(match.group(1) if match else text, MAX_CUSTOMER_LENGTH, "customer")

    def _quantity(self, text: str) -> int:
        if not _QUANTITY.fullmatch(text):
            raise BadRow(f"quantity is not a whole number: {text[:40]!r}")
        digits = text.split(".")[0]
        if len(digits) > 12 or abs(int(digits)) > MAX_QUANTITY:
            raise BadRow(f"quantity is out of range: {text[:40]!r}")
        return int(digits)

    def _price(self, text: str) -> Decimal:
        known = self._prices.get(text)
        if known is not None:
            return known
        if not _PRICE.fullmatch(text):
            raise BadRow(f"unit price is not a number: {text[:40]!r}")
        price = Decimal(text)
        if abs(price) > MAX_UNIT_PRICE:
            raise BadRow(f"unit price is out of range: {text[:40]!r}")
        if price != round(price, PRICE_DECIMALS):
            raise BadRow(f"unit price has more than {PRICE_DECIMALS} decimals: {text[:40]!r}")
        return self._prices.setdefault(text, price)

    def _moment(self, text: str) -> datetime:
        known = self._moments.get(text)
        if known is not None:
            return known
        if not _MOMENT.fullmatch(text):
            raise BadRow(f"invoice date is not of the form YYYY-MM-DD HH:MM:SS: {text[:40]!r}")
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise BadRow(f"invoice date does not exist: {text[:40]!r}") from error
        if moment.year < EARLIEST_YEAR:
            raise BadRow(f"invoice date is before {EARLIEST_YEAR}: {text[:40]!r}")
        return self._moments.setdefault(text, moment.replace(tzinfo=RETAILER_ZONE))
