"""Reading the fashion file: ten columns, three levels of category, names that hold commas and quotes."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from myproject.errors import InvalidInput

COLUMNS = (
    "id", "gender", "masterCategory", "subCategory", "articleType",
    "baseColour", "season", "year", "usage", "productDisplayName",
)  # fmt: skip

#: Words that stand for an empty field. A product's name is never read so: seven real ones are called NA.
ABSENT = frozenset({"", "NA"})

#: Part of every row's hash: a new number makes every row count as changed, when the mapping itself changes.
MAPPING = 1


class UnreadableFile(InvalidInput):
    """The file cannot be opened, is no such file or ends in the middle of its compressed data."""

    code = "unreadable_file"


@dataclass(frozen=True, kw_only=True)
class FeedRow:
    """A product as the file knows it. `tags` are pairs of group and name."""

    line: int
    external_id: str
    name: str
    category: tuple[str, str, str]
    tags: tuple[tuple[str, str], ...]
    content_hash: str

    @property
    def sku(self) -> str:
        """The SKU of the product's single variant."""
        return f"F{self.external_id}"


@dataclass(frozen=True, kw_only=True)
class RejectedRow:
    """A row that was left out, and why."""

    line: int
    reason: str


def read_rows(path: Path) -> Iterator[FeedRow | RejectedRow]:
    """Yield every row of a .csv or .csv.gz file, in order; one line is one row, so a bad one spoils no other.

    Raises UnreadableFile.
    """
    try:
        with ExitStack() as stack:
            raw: io.BufferedIOBase = stack.enter_context(path.open("rb"))
            if path.suffix == ".gz":
                raw = stack.enter_context(gzip.GzipFile(fileobj=raw))
            # Bytes that are not UTF-8 become surrogates, which the row's check finds.
            lines = io.TextIOWrapper(raw, "utf-8", "surrogateescape", newline="\n")  # type: ignore[type-var]
            header = next(lines, "").lstrip("\ufeff").strip().split(",")
            if tuple(header) != COLUMNS:
                raise UnreadableFile(f"{path.name}: the first line must be {','.join(COLUMNS)}.", field="file")
            seen: dict[str, int] = {}
            for number, line in enumerate(lines, start=2):
                if line.strip():
                    yield _read_line(line, number, seen)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(f"{path}: {error}", field="file") from error


def _read_line(line: str, number: int, seen: dict[str, int]) -> FeedRow | RejectedRow:
    try:
        row = _parse(line, number)
    except ValueError as error:
        return RejectedRow(line=number, reason=str(error))
    first = seen.setdefault(row.external_id, number)
    if first != number:
        return RejectedRow(line=number, reason=f"id {row.external_id} stands on line {first} already")
    return row


def _parse(line: str, number: int) -> FeedRow:
    """Read one line. Raises ValueError with the reason."""
    if not line.isprintable() and any("\udc80" <= character <= "\udcff" for character in line):
        raise ValueError("the line is not UTF-8")
    try:
        fields = [field.strip() for field in next(csv.reader([line.rstrip("\r\n")], strict=True))]
    except (csv.Error, StopIteration) as error:
        raise ValueError(f"the line is not CSV: {error}") from error
    if len(fields) < len(COLUMNS):
        raise ValueError(f"{len(fields)} fields instead of {len(COLUMNS)}")
    if len(fields) > len(COLUMNS):
        # The name stands last, so commas that nobody quoted can only belong to it.
        last = len(COLUMNS) - 1
        fields = [*fields[:last], ", ".join(fields[last:])]
    values = dict(zip(COLUMNS, fields, strict=True))
    _check(values)
    return FeedRow(
        line=number,
        external_id=values["id"],
        name=values["productDisplayName"],
        category=(values["masterCategory"], values["subCategory"], values["articleType"]),
        tags=tuple(
            (group, values[column])
            for group, column in (
                ("gender", "gender"),
                ("colour", "baseColour"),
                ("season", "season"),
                ("year", "year"),
                ("usage", "usage"),
            )
            if values[column] not in ABSENT
        ),
        content_hash=hashlib.sha256("\0".join((str(MAPPING), *fields)).encode()).hexdigest(),
    )


def _check(values: dict[str, str]) -> None:
    number = values["id"]
    if not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise ValueError(f"id: read {number!r}; allowed are digits, at most 18")
    for column in ("masterCategory", "subCategory", "articleType", "productDisplayName"):
        if not values[column]:
            raise ValueError(f"{column} is empty")
    for column, limit in (
        ("productDisplayName", 255),
        ("masterCategory", 60),
        ("subCategory", 60),
        ("articleType", 60),
    ):
        if len(values[column]) > limit:
            raise ValueError(f"{column} is longer than {limit} characters")
    for column in ("gender", "baseColour", "season", "usage"):
        if len(values[column]) > 64:
            raise ValueError(f"{column} is longer than 64 characters")
    year = values["year"]
    if year not in ABSENT and not (year.isascii() and year.isdigit() and len(year) == 4):
        raise ValueError(f"year: read {year!r}; allowed are four digits or nothing")
