"""The signature on the browser's return, as the provider documents it: HMAC-SHA256 with the response key."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

UNSIGNED = ("signature", "signature_algorithm")


def build_signed_text(params: Mapping[str, str]) -> str:
    """Return what is signed: encoded keys and values, sorted, joined by `=` and `&`, and the whole encoded again."""
    pairs = sorted((quote(key, safe=""), quote(value, safe="")) for key, value in params.items() if key not in UNSIGNED)
    return quote("&".join(f"{key}={value}" for key, value in pairs), safe="")


def sign_params(params: Mapping[str, str], *, response_key: str) -> str:
    """Return the percent-encoded base64 signature of `params`."""
    digest = hmac.digest(response_key.encode(), build_signed_text(params).encode(), "sha256")
    return quote(b64encode(digest).decode(), safe="")


def build_return_url(return_url: str, *, order_id: str, status: str, status_id: int, response_key: str) -> str:
    """Return `return_url` with the payment's result and signature added to its query.

    Parameters that the merchant put there itself stay and are signed too: the receiver is told to take all of them.
    """
    parts = urlsplit(return_url)
    params = dict(parse_qsl(parts.query, keep_blank_values=True))
    params |= {"order_id": order_id, "status": status, "status_id": str(status_id)}
    signature = sign_params(params, response_key=response_key)
    query = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in params.items())
    query += f"&signature={signature}&signature_algorithm=HMAC-SHA256"
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
