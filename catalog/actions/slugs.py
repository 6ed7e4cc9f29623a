"""Addresses of products and categories that stay unique on databases which ignore case."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from django.utils.text import slugify

#: What the columns hold.
SLUG_LENGTH = 191

#: Readable characters of a product's slug; nine more follow.
READABLE = 180


def product_slug(*, source: str, external_id: str, name: str) -> str:
    """Return a readable slug for a product, fixed when it is made.

    Eight hexadecimal digits of source and number keep apart what reads the same: of the retailer's 3,051 codes 69
    differ only in case.
    """
    digest = hashlib.sha256(f"{source}\0{external_id}".encode()).hexdigest()[:8]
    readable = slugify(f"{name} {external_id}")[:READABLE].strip("-_")
    return f"{readable}-{digest}" if readable else digest


def category_slug(path: Sequence[str]) -> str:
    """Return the slug of a category: its whole path, for example apparel--topwear--shirts.

    Raises ValueError when the path does not fit the column.
    """
    slug = "--".join(slugify(name) or hashlib.sha256(name.encode()).hexdigest()[:8] for name in path)
    if len(slug) > SLUG_LENGTH:
        raise ValueError(f"the category's path is longer than {SLUG_LENGTH} characters")
    return slug
