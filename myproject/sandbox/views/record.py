"""The stand-in's own addresses: its record and its health. The provider has neither."""

from __future__ import annotations

from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse

from .. import errors
from ..background.dispatcher import count_living_threads
from ..queries.record import MOST_ENTRIES, count_totals, list_entries, list_order_lines
from ..queries.waiting import count_waiting
from .requests import answer_json, merchant_call


@merchant_call("GET")
def totals(request: HttpRequest) -> HttpResponse:
    """Answer with the totals, and with a line per order unless `orders=false` is asked for."""
    wanted = request.GET.get("orders", "true")
    if wanted not in ("true", "false"):
        raise errors.invalid_input("orders", "true or false is allowed")
    body = count_totals()
    if wanted == "true":
        body["orders"] = list_order_lines()
    return answer_json(body)


@merchant_call("GET")
def entries(request: HttpRequest) -> HttpResponse:
    """Answer with a page of the record: the rows after `after`, at most `limit` of them."""
    after = _read_number(request, "after", 0, low=0, high=2**62)
    limit = _read_number(request, "limit", MOST_ENTRIES, low=1, high=MOST_ENTRIES)
    rows = list_entries(after=after, limit=limit)
    return answer_json({"entries": rows, "next_after": rows[-1]["id"] if len(rows) == limit else None})


def health(request: HttpRequest) -> HttpResponse:
    """Answer 200 while the database reads and every background thread lives, else 503."""
    try:
        waiting = count_waiting()
    except DatabaseError as error:
        return answer_json({"status": "failing", "database": str(error)}, status=503)
    living, wanted = count_living_threads()
    body = {"status": "ok" if living == wanted else "failing", "background_threads": living, **waiting}
    return answer_json(body, status=200 if living == wanted else 503)


def not_found(request: HttpRequest, exception: Http404) -> HttpResponse:
    """Answer to an address that does not exist."""
    return answer_json({"status": "error", "error_code": "not_found"}, status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer when the stand-in itself fails."""
    return answer_json({"status": "error", "error_code": "internal.error"}, status=500)


def _read_number(request: HttpRequest, name: str, default: int, *, low: int, high: int) -> int:
    text = request.GET.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise errors.invalid_input(name, f"A whole number from {low} to {high} is allowed")
    return int(text)
