"""From text to words, the same for every index: what was written and what is asked for meet as plain words.

Letters lose case and accents, everything that is neither letter nor digit separates. A shopper's text reaches an index
only as such words, so no operator of a full-text language can be smuggled in.
"""

from __future__ import annotations

import re
import unicodedata

from search.errors import InvalidQuery

#: Characters of a search text; the longest real product name has 88.
LONGEST_QUERY = 200

#: Words of a query that count. Each costs one look-up in the index; the longest real name has 16.
MOST_WORDS = 16

#: Characters of a word that count: MySQL indexes no word of more than 84.
LONGEST_WORD = 64

_WORD = re.compile(r"[^\W_]+")


def split_words(text: str) -> list[str]:
    """Return the words of `text` in order, folded to plain lower case."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return [word[:LONGEST_WORD] for word in _WORD.findall(plain)]


def parse_query(text: str) -> list[str]:
    """Return the different words of a shopper's text. Raises InvalidQuery when none is left or it is too long."""
    if len(text) > LONGEST_QUERY:
        raise InvalidQuery(f"q: allowed are {LONGEST_QUERY} characters.", field="q")
    words = list(dict.fromkeys(split_words(text)))
    if not words:
        raise InvalidQuery("q: write a word to look for, for example a brand, a colour or an article.", field="q")
    return words[:MOST_WORDS]
