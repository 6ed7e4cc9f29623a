"""The reader takes good rows exactly and reports bad ones without touching the rest."""

from __future__ import annotations

import gzip
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from orders.replay.reader import RETAILER_ZONE, RetailFileError, RetailRow, read_file
from tests.orders.replay.files import DAY, HEADER, SHIPPED, write_mutated_file, write_retail_file

GOOD = f"700001,85123A,WHITE HEART,6,{DAY},2.55,17850.0,United Kingdom"


def test_a_row_is_read_exactly(tmp_path: Path) -> None:
    file = read_file(write_retail_file(tmp_path / "one.csv", GOOD))

    assert file.lines == 1
    assert file.rejections == ()
    assert file.rows == (
        RetailRow(
            line_number=2,
            invoice="700001",
            stock_code="85123A",
            description="WHITE HEART",
            quantity=6,
            invoiced_at=datetime(2011, 2, 1, 9, 0, tzinfo=RETAILER_ZONE),
            unit_price=Decimal("2.55"),
            customer="17850",
            country="United Kingdom",
        ),
    )
    assert file.rows[0].value == Decimal("15.30")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"1,X,,2.5,{DAY},1,,", "quantity is not a whole number: '2.5'"),
        (f"1,X,,,{DAY},1,,", "quantity is not a whole number: ''"),
        (f"1,X,,²,{DAY},1,,", "quantity is not a whole number: '²'"),
        (f"1,X,,99999999999,{DAY},1,,", "quantity is out of range: '99999999999'"),
        (f"1,X,,1,{DAY},,,", "unit price is not a number: ''"),
        (f"1,X,,1,{DAY},NaN,,", "unit price is not a number: 'NaN'"),
        (f"1,X,,1,{DAY},1e3,,", "unit price is not a number: '1e3'"),
        (f"1,X,,1,{DAY},10000000,,", "unit price is out of range: '10000000'"),
        (f"1,X,,1,{DAY},0.00001,,", "unit price has more than 4 decimals: '0.00001'"),
        ("1,X,,1,yesterday,1,,", "invoice date is not of the form YYYY-MM-DD HH:MM:SS: 'yesterday'"),
        ("1,X,,1,2011-02-29 09:00:00,1,,", "invoice date does not exist: '2011-02-29 09:00:00'"),
        ("1,X,,1,1801-01-01 09:00:00,1,,", "invoice date is before 1900: '1801-01-01 09:00:00'"),
        (f" ,X,,1,{DAY},1,,", "invoice number is missing"),
        (f"1,,,1,{DAY},1,,", "stock code is missing"),
        (f"1,X,,1,{DAY},1,", "7 columns instead of 8"),
        (f"1,X,,1,{DAY},1,,,", "9 columns instead of 8"),
        (f"1,X,a\x00b,1,{DAY},1,,", "contains a NUL character"),
        (f"{'9' * 65},X,,1,{DAY},1,,", "invoice number is longer than 64 characters"),
        (f"1,{'X' * 65},,1,{DAY},1,,", "stock code is longer than 64 characters"),
        (f"1,X,{'d' * 256},1,{DAY},1,,", "description is longer than 255 characters"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_its_neighbours_stay(tmp_path: Path, line: str, reason: str) -> None:
    file = read_file(write_retail_file(tmp_path / "bad.csv", GOOD, line, GOOD))

    assert [(rejection.line_number, rejection.reason) for rejection in file.rejections] == [(3, reason)]
    assert [row.line_number for row in file.rows] == [2, 4]
    assert file.lines == 3


def test_an_unclosed_quotation_mark_swallows_no_other_line(tmp_path: Path) -> None:
    file = read_file(write_retail_file(tmp_path / "quote.csv", f'1,X,"OPEN,1,{DAY},1,,', GOOD))

    assert [rejection.line_number for rejection in file.rejections] == [2]
    assert file.rejections[0].reason.startswith("quotation marks do not pair up")
    assert [row.line_number for row in file.rows] == [3]


def test_quoted_commas_and_quotes_are_kept(tmp_path: Path) -> None:
    file = read_file(write_retail_file(tmp_path / "quoted.csv", f'1,X,"A ""BIG"", RED BOX",1,{DAY},1,,'))

    assert file.rows[0].description == 'A "BIG", RED BOX'


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig"])
def test_both_encodings_of_the_data_set_read_the_same(tmp_path: Path, encoding: str) -> None:
    path = write_retail_file(tmp_path / "pound.csv", f"1,X,£20 CAFÉ,1,{DAY},1,,", encoding=encoding)

    assert read_file(path).rows[0].description == "£20 CAFÉ"


def test_one_latin_1_line_does_not_change_the_utf_8_lines_around_it(tmp_path: Path) -> None:
    line = f"1,X,£20,1,{DAY},1,,"
    path = tmp_path / "mixed.csv"
    path.write_bytes(b"\n".join([HEADER.encode(), line.encode(), line.encode("latin-1"), line.encode()]))

    assert [row.description for row in read_file(path).rows] == ["£20", "£20", "£20"]


@pytest.mark.parametrize(
    ("written", "read"), [("17850.0", "17850"), ("17850", "17850"), ("", ""), ("  ", ""), ("AB1.0", "AB1.0")]
)
def test_customer_numbers_lose_the_decimal_a_spreadsheet_gave_them(tmp_path: Path, written: str, read: str) -> None:
    file = read_file(write_retail_file(tmp_path / "customer.csv", f"1,X,,1,{DAY},1,{written},"))

    assert file.rows[0].customer == read


def test_codes_are_kept_byte_for_byte(tmp_path: Path) -> None:
    lines = [f"1,{code},,1,{DAY},1,," for code in ("85123A", "85123a", "85123A ")]

    file = read_file(write_retail_file(tmp_path / "codes.csv", *lines))

    assert [row.stock_code for row in file.rows] == ["85123A", "85123a", "85123A "]


def test_blank_lines_are_no_rows_and_line_numbers_count_them(tmp_path: Path) -> None:
    file = read_file(write_retail_file(tmp_path / "blank.csv", GOOD, "", GOOD, "", end="\r\n"))

    assert file.lines == 2
    assert [row.line_number for row in file.rows] == [2, 4]
    assert file.rejections == ()


def test_the_batch_is_known_by_its_lines_not_by_its_packing(tmp_path: Path) -> None:
    plain = write_retail_file(tmp_path / "a.csv", GOOD)
    packed = write_retail_file(tmp_path / "b.csv.gz", GOOD)
    misnamed = tmp_path / "c.csv"
    misnamed.write_bytes(packed.read_bytes())
    other = write_retail_file(tmp_path / "d.csv", GOOD, GOOD)

    hashes = [read_file(path).content_hash for path in (plain, packed, misnamed, other)]

    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


def test_a_file_of_another_form_is_refused_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("id,name\n1,shirt\n")

    with pytest.raises(RetailFileError, match="the first line must name the columns InvoiceNo,StockCode"):
        read_file(path)


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.csv"
    path.write_bytes(content)

    with pytest.raises(RetailFileError):
        read_file(path)


def test_a_damaged_gzip_file_is_refused_before_anything_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n".encode())[:-9])

    with pytest.raises(RetailFileError, match="damaged gzip file"):
        read_file(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RetailFileError, match=r"nowhere\.csv cannot be read: No such file"):
        read_file(tmp_path / "nowhere.csv")


def test_the_mutated_file_keeps_every_line_as_row_or_rejection(tmp_path: Path) -> None:
    file = read_file(write_mutated_file(tmp_path / "mutated.csv"))

    assert file.lines == 38
    assert [rejection.line_number for rejection in file.rejections] == [19, 20, 21, 22, 23, 24, 37, 39]
    assert file.rejections[-1].value == Decimal("1.00001")
    assert len(file.rows) == 30


def test_the_shipped_file_has_no_bad_row() -> None:
    file = read_file(SHIPPED)

    assert file.lines == len(file.rows) == 77_628
    assert file.rejections == ()
    assert file.content_hash == "c5856f8834966e37c02adeef2973294c24583d4641be188f80d73d5ef983787e"
