"""Small files of the retail form, made by hand, whose every total can be added up on paper."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
SHIPPED = Path(__file__).parents[3] / "orders/replay/data/online_retail_2010-12_2011-01.csv.gz"
DAY = "2011-02-01 09:00:00"

MUTATED_LINES = (
    # A sale with codes that differ only in case, postage, a price of a thousandth, and a last line far below (line 16).
    f"700001,A100,MUG,10,{DAY},1.25,15001.0,United Kingdom",  # 2
    f"700001,a100,SMALL MUG,4,{DAY},2.5,15001.0,United Kingdom",  # 3
    f"700001,POST,POSTAGE,1,{DAY},5.00,15001.0,United Kingdom",  # 4
    f"700001,PADS,PADS TO MATCH,3,{DAY},0.001,15001.0,United Kingdom",  # 5
    # A cancellation of both codes; the second at less than was paid.
    f"C700002,A100,MUG,-3,{DAY},1.25,15001.0,United Kingdom",  # 6
    f"C700002,a100,SMALL MUG,-1,{DAY},2.00,15001.0,United Kingdom",  # 7
    # A cancellation that stands before its sale: no sale covers it.
    f"C700003,B200,BOWL,-2,{DAY},3.00,15002.0,United Kingdom",  # 8
    f"700004,B200,BOWL,6,{DAY},3.00,15002.0,United Kingdom",  # 9
    # Adjustments, two of them negative, one of them with half a penny.
    f"A700005,B,Adjust bad debt,1,{DAY},11062.06,,United Kingdom",  # 10
    f"A700006,B,Adjust bad debt,1,{DAY},-11062.06,,United Kingdom",  # 11
    f"A700007,B,Adjust bad debt,1,{DAY},-100.005,,United Kingdom",  # 12
    # Guests, three decimals, taken back in two steps, the second for more than is left.
    f"700008,C300,,7,{DAY},0.335,,EIRE",  # 13
    f"C700009,C300,,-2,{DAY},0.335,,EIRE",  # 14
    f"C700010,C300,,-9,{DAY},0.335,,EIRE",  # 15
    f"700001,D400,SCATTERED,2,{DAY},4.00,15001.0,United Kingdom",  # 16
    # Stock written off; a gift on its own.
    f"700011,A100,damaged,-5,{DAY},0.0,,United Kingdom",  # 17
    f"700012,E500,GIFT,1,{DAY},0.00,15003.0,France",  # 18
    # Bad rows, each for a reason of its own.
    f"700020,A100,MUG,2.5,{DAY},1.25,15001.0,United Kingdom",  # 19
    f"700020,A100,MUG,2,{DAY},cheap,15001.0,United Kingdom",  # 20
    "700020,A100,MUG,2,2011-02-30 09:00:00,1.25,15001.0,United Kingdom",  # 21
    f",A100,MUG,2,{DAY},1.25,15001.0,United Kingdom",  # 22
    f"700020,  ,MUG,2,{DAY},1.25,15001.0,United Kingdom",  # 23
    f"700020,A100,MUG,2,{DAY},1.25,15001.0",  # 24
    f"700020,A100,MUG,0,{DAY},1.25,15001.0,United Kingdom",  # 25
    f"700020,A100,MUG,1,{DAY},-1.25,15001.0,United Kingdom",  # 26
    f"C700021,A100,MUG,1,{DAY},1.25,15001.0,United Kingdom",  # 27
    f"700020,A100,MUG,-1,{DAY},1.25,15001.0,United Kingdom",  # 28
    f"700004,B200,BOWL,1,{DAY},3.00,15999.0,United Kingdom",  # 29
    f"700013,D,Discount,-1,{DAY},50.00,15004.0,United Kingdom",  # 30
    f"700013,F600,FAN,1,{DAY},10.00,15004.0,United Kingdom",  # 31
    # A discount on two identical lines, one of which comes back.
    f"700014,F600,FAN,1,{DAY},20.00,15004.0,United Kingdom",  # 32
    f"700014,D,Discount,-1,{DAY},5.00,15004.0,United Kingdom",  # 33
    f"700014,F600,FAN,1,{DAY},20.00,15004.0,United Kingdom",  # 34
    f"C700015,F600,FAN,-1,{DAY},20.00,15004.0,United Kingdom",  # 35
    # Quotation marks: a comma inside, then one that never closes.
    f'700016,gift_0001_20,"VOUCHER, £20",1,{DAY},17.02,,United Kingdom',  # 36
    f'700017,G700,"BROKEN,1,{DAY},1.00,,United Kingdom',  # 37
    f"700018,H800,,1,{DAY},1.00,,",  # 38
    f"700018,H800,,1,{DAY},1.00001,,",  # 39
)

MUTATED_FIGURES = {
    "file": {
        "lines": 38,
        "invoices": 16,
        "sales": 11,
        "cancellations": 5,
        "net": "-26.572",
        "cancelled": "-35.435",
    },
    "platform": {
        "orders": 7,
        "order_lines": 13,
        "captured": "108.87",
        "refunded": "26.10",
        "price_difference": "2.00",
        "write_offs": 5,
        "adjustments": "-100.01",
    },
    "provider": {"captured": "108.87", "refunded": "26.10"},
    "cancellation_lines": {"whole": 4, "part": 1, "none": 1},
    "unmatched": {"lines": 2, "value": "7.34"},
    "rounding": "0.008",
    "rejected": {"rows": 15},
    "tasks": {"run": 32, "failed": 0, "open": 0},
    "mails": 7,
    "difference": "0.00",
}
"""What a replay of these lines reports, apart from how long it took."""


def write_retail_file(path: Path, *lines: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    """Write a retail file of ``lines`` under its header, gzipped when the name says so."""
    content = (end.join((HEADER, *lines)) + end).encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_mutated_file(path: Path) -> Path:
    """Write the file with everything in it that other months of the data set have, and bad rows of every kind."""
    return write_retail_file(path, *MUTATED_LINES)


SLICE_CUSTOMERS = frozenset({"13777", "16923", "15358", "15061", "14527", "13050"})
"""Cancellations that reach up to five orders, lines covered in part, prices that differ either way, discounts."""

SLICE_GUEST_LINES = 5
"""Guests' invoices of at most this many lines: write-offs, gifts, fees, vouchers, postage."""


def write_slice(path: Path) -> Path:
    """Write all rows of a few customers of the shipped file and, of its first sixth, the guests' short invoices."""
    with gzip.open(SHIPPED, "rt", encoding="utf-8", newline="") as shipped:
        rows = [line.rstrip("\n") for line in shipped][1:]
    guests = Counter(row.split(",")[0] for row in rows[:13_000] if row.split(",")[-2] == "")
    chosen = [
        row
        for row in rows
        if row.split(",")[-2].removesuffix(".0") in SLICE_CUSTOMERS
        or 0 < guests.get(row.split(",")[0], 0) <= SLICE_GUEST_LINES
    ]
    return write_retail_file(path, *chosen)
