"""What every search index promises. Plain values in and out; rows of the catalogue stay outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What hits must fulfil besides the words: a category's subtree (by slug) and tags (group, name), all of them."""

    category: str = ""
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a page ended: the score and the product of its last hit."""

    score: int
    product_id: int


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A product that was found. Scores order the hits of one query and compare with nothing else."""

    product_id: int
    score: int


@dataclass(frozen=True, kw_only=True)
class Page:
    """Hits, best first, and where the next page begins (None on the last one)."""

    hits: tuple[Hit, ...]
    next: Cursor | None


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """An index compared with the catalogue: counts, and how many documents were missing, outdated or in excess."""

    products: int
    documents: int
    missing: int
    outdated: int
    excess: int
    damaged: bool
    repaired: bool

    @property
    def differences(self) -> int:
        """Documents that were not as the catalogue has them."""
        return self.missing + self.outdated + self.excess


class SearchIndex(Protocol):
    """A projection of the active products. Every call may be repeated; an older state never replaces a newer one."""

    name: str

    def index(self, product_ids: Sequence[int]) -> int:
        """Bring the documents of these products up to date; those no longer active or gone leave. Return writes."""
        ...

    def remove(self, product_ids: Sequence[int]) -> int:
        """Take the documents of these products out; return how many were in."""
        ...

    def search(self, words: Sequence[str], *, filters: Filters, cursor: Cursor | None = None, limit: int = 50) -> Page:
        """Return products that have, for each word, a word beginning with it; best first."""
        ...

    def verify(self, *, repair: bool) -> VerifyReport:
        """Compare counts and versions with the catalogue and, if asked to, put right what differs."""
        ...

    def rebuild(self) -> int:
        """Write every document anew while searches go on; return how many there are."""
        ...
