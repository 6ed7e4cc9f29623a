"""Small product files of the fashion form."""

from __future__ import annotations

import gzip
from pathlib import Path

from catalog.feeds.fashion import COLUMNS

HEADER = ",".join(COLUMNS)
SHIRT = "15970,Men,Apparel,Topwear,Shirts,Navy Blue,Fall,2011,Casual,Turtle Check Men Navy Blue Shirt"
JEANS = "39386,Men,Apparel,Bottomwear,Jeans,Blue,Summer,2012,Casual,Peter England Men Party Blue Jeans"
WATCH = "59263,Women,Accessories,Watches,Watches,Silver,Winter,2016,Casual,Titan Women Silver Watch"
SHORTS = '7491,Women,Apparel,Bottomwear,Shorts,Pink,,,NA,"Nike Women\'s EM Tempo 3.5"" Pink Short"'


def write_file(folder: Path, *lines: str, name: str = "products.csv") -> Path:
    """Write a file with the header and these lines and return its path."""
    path = folder / name
    content = "\n".join([HEADER, *lines, ""]).encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path
