"""From text to words: folding, limits, and no operator of a full-text language survives."""

from __future__ import annotations

import pytest

from search.backends import Cursor
from search.errors import InvalidCursor, InvalidQuery
from search.queries import read_cursor, write_cursor
from search.words import parse_query, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Turtle Check", ["turtle", "check"]),
        ("Café  CRÈME", ["cafe", "creme"]),
        ("Straße", ["strasse"]),
        ("Nike's 3.5\"", ["nike", "s", "3", "5"]),
        ("85123A", ["85123a"]),
        ("a_b-c", ["a", "b", "c"]),
        ("x" * 80, ["x" * 64]),
        ("", []),
    ],
)
def test_texts_become_plain_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    "text", ['"shirt" OR *', "+shirt -blue", "shirt)", "NEAR(shirt", "shirt:*", "shirt'; --", "shirt\0"]
)
def test_operators_never_reach_the_index(text: str) -> None:
    assert all(word.isalnum() and word == word.lower() for word in parse_query(text))
    assert "shirt" in parse_query(text)


@pytest.mark.parametrize("text", ["", "   ", '!!! "*" ---', "x" * 201])
def test_nothing_to_look_for_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        parse_query(text)

    assert caught.value.field == "q"


def test_a_query_counts_each_word_once_and_sixteen_at_most() -> None:
    assert parse_query("blue Blue BLUE shirt") == ["blue", "shirt"]
    assert len(parse_query(" ".join(f"w{number}" for number in range(40)))) == 16


def test_cursors_survive_the_way_through_an_address() -> None:
    cursor = Cursor(score=-123456789, product_id=42)

    assert read_cursor(write_cursor(cursor)) == cursor
    assert read_cursor("") is None
    assert write_cursor(None) == ""


@pytest.mark.parametrize("text", ["!", "abc", "MS4y.4", "YWJjLjE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjE", "MS4tMQ", "é"])
def test_a_made_up_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        read_cursor(text)
