"""The stand-in's settings, read from the environment once and typed: a wrong value stops the start with its name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from .faults.parsing import RuleError, parse_rules
from .faults.rules import Rule
from .money import CURRENCIES, parse_amount

CHECKOUT = Path(__file__).resolve().parents[2]

# What a merchant normally subscribes to in the provider's dashboard. The TXN_* and REFUND_INITIATED events only
# repeat what these say; sending them by default would triple the webhooks of an order for nothing.
DEFAULT_EVENTS = (
    "ORDER_SUCCEEDED",
    "ORDER_FAILED",
    "ORDER_REFUNDED",
    "ORDER_REFUND_FAILED",
    "REFUND_MANUAL_REVIEW_NEEDED",
)
KNOWN_EVENTS = (*DEFAULT_EVENTS, "REFUND_INITIATED", "TXN_CREATED", "TXN_CHARGED", "TXN_FAILED")

# The smallest refund: one rupee is documented. The penny and the cent are ours, so that small items can be refunded.
DEFAULT_MINIMUM_REFUND = '{"INR": "1.00", "GBP": "0.01", "EUR": "0.01", "USD": "0.01"}'


class ConfigurationError(Exception):
    """A setting of the stand-in is wrong. Read by whoever starts it: the text names the setting and what is allowed."""


@dataclass(frozen=True)
class Configuration:
    """Every setting of the stand-in, as documented in docs/sandbox.md."""

    database: Path
    host: str
    port: int
    public_url: str
    threads: int
    api_key: str
    merchant_id: str
    client_id: str
    response_key: str
    webhook_url: str
    webhook_user: str
    webhook_password: str
    webhook_events: frozenset[str]
    webhook_threads: int
    webhook_timeout: float
    webhook_backoff_scale: float
    settlement_delay: float
    refund_window: float
    minimum_refund: Mapping[str, int]
    rules: tuple[Rule, ...]


@cache
def configuration() -> Configuration:
    """Return the settings of this process, read from its environment on the first call."""
    return read_configuration(os.environ)


def read_configuration(environment: Mapping[str, str]) -> Configuration:
    """Return the settings found in `environment`. Raises ConfigurationError on the first wrong one."""
    state = Path(environment.get("STATE_DIR") or CHECKOUT / ".state")
    return Configuration(
        database=Path(environment.get("SANDBOX_DATABASE") or state / "sandbox.sqlite3").absolute(),
        host=environment.get("SANDBOX_HOST") or "127.0.0.1",
        port=int(_read_number(environment, "SANDBOX_PORT", "8010", low=0, high=65535, whole=True)),
        public_url=_read_url(environment, "SANDBOX_PUBLIC_URL"),
        threads=int(_read_number(environment, "SANDBOX_THREADS", "16", low=1, high=256, whole=True)),
        api_key=environment.get("SANDBOX_API_KEY") or "sandbox-api-key",
        merchant_id=environment.get("SANDBOX_MERCHANT_ID") or "sandbox-merchant",
        client_id=environment.get("SANDBOX_CLIENT_ID") or "sandbox-client",
        response_key=environment.get("SANDBOX_RESPONSE_KEY") or "sandbox-response-key",
        webhook_url=_read_url(environment, "SANDBOX_WEBHOOK_URL"),
        webhook_user=environment.get("SANDBOX_WEBHOOK_USER") or "sandbox",
        webhook_password=environment.get("SANDBOX_WEBHOOK_PASSWORD") or "sandbox-webhook-password",
        webhook_events=_read_events(environment),
        webhook_threads=int(_read_number(environment, "SANDBOX_WEBHOOK_THREADS", "4", low=1, high=64, whole=True)),
        webhook_timeout=_read_number(environment, "SANDBOX_WEBHOOK_TIMEOUT", "10", low=0.01, high=300),
        webhook_backoff_scale=_read_number(environment, "SANDBOX_WEBHOOK_BACKOFF_SCALE", "0.02", low=0, high=1),
        settlement_delay=_read_number(environment, "SANDBOX_SETTLEMENT_DELAY", "2", low=0, high=864_000),
        refund_window=_read_number(environment, "SANDBOX_REFUND_WINDOW_SECONDS", "5", low=0, high=3600),
        minimum_refund=_read_minimum_refund(environment),
        rules=_read_rules(environment),
    )


def _read_number(
    environment: Mapping[str, str], name: str, default: str, *, low: float, high: float, whole: bool = False
) -> float:
    text = environment.get(name) or default
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if value.is_nan() or not Decimal(str(low)) <= value <= Decimal(str(high)) or (whole and value % 1):
        kind = "a whole number" if whole else "a number"
        raise ConfigurationError(f"{name}: read {text!r}; allowed is {kind} from {low} to {high}.")
    return float(value)


def _read_url(environment: Mapping[str, str], name: str) -> str:
    text = environment.get(name, "")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or half of an IPv6 address
        usable = False
    if text and not usable:
        raise ConfigurationError(f"{name}: read {text!r}; allowed is an http or https address, or nothing.")
    return text.rstrip("/") if name == "SANDBOX_PUBLIC_URL" else text


def _read_events(environment: Mapping[str, str]) -> frozenset[str]:
    text = environment.get("SANDBOX_WEBHOOK_EVENTS") or ",".join(DEFAULT_EVENTS)
    if text.strip() == "*":
        return frozenset(KNOWN_EVENTS)
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(names - set(KNOWN_EVENTS))
    if unknown:
        allowed = ", ".join(KNOWN_EVENTS)
        raise ConfigurationError(f"SANDBOX_WEBHOOK_EVENTS: read {', '.join(unknown)}; allowed are * or {allowed}.")
    return names


def _read_minimum_refund(environment: Mapping[str, str]) -> Mapping[str, int]:
    text = environment.get("SANDBOX_MINIMUM_REFUND") or DEFAULT_MINIMUM_REFUND
    try:
        pairs = json.loads(text)
    except ValueError:
        pairs = None
    minimums = {}
    for currency, value in pairs.items() if isinstance(pairs, dict) else ():
        amount = parse_amount(value) if isinstance(value, str) else None
        if currency in CURRENCIES and amount:
            minimums[currency] = amount
    if not isinstance(pairs, dict) or len(minimums) != len(pairs):
        raise ConfigurationError(
            f'SANDBOX_MINIMUM_REFUND: read {text!r}; allowed is a JSON object such as {{"GBP": "0.01"}} '
            f"with currencies {', '.join(CURRENCIES)} and amounts above zero."
        )
    return minimums


def _read_rules(environment: Mapping[str, str]) -> tuple[Rule, ...]:
    text = environment.get("SANDBOX_FAULTS", "").strip()
    if not text:
        return ()
    if not text.startswith(("[", "{")):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"SANDBOX_FAULTS: the file {text!r} cannot be read ({error.strerror}).") from error
    try:
        return parse_rules(text)
    except RuleError as error:
        raise ConfigurationError(f"SANDBOX_FAULTS: {error}") from error
