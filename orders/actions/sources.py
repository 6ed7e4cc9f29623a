"""Whose number it is: the shop's own sources, and what a feed may call itself."""

from __future__ import annotations

from myproject.errors import InvalidInput

WEB = "web"
"""The source of everything that comes from the shop's own pages."""

EXCESS = "excess"
"""The source of the documents that send back what was captured above the amount due."""

RESERVED = frozenset({WEB, EXCESS})


def check_feed_source(source: str) -> None:
    """Refuse the shop's own sources, however they are written: a feed's document must never take one of our numbers.

    Raises InvalidInput.
    """
    if source.strip().casefold() in RESERVED:
        raise InvalidInput(f"source: {source!r} is the shop's own; a feed has another name.", field="source")
