"""What a fault rule is: plain values, checked once when they are read."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

REQUESTS = ("session", "order_create", "order_status", "refund", "payment_page")
ENDPOINTS = (*REQUESTS, "settlement", "webhook")


@dataclass(frozen=True)
class Form:
    """Where a fault may be asked for and which further fields it takes, with their defaults (None: required)."""

    endpoints: tuple[str, ...]
    fields: dict[str, object]


FORMS = {
    "latency": Form(REQUESTS, {"seconds": None}),
    "error": Form(REQUESTS, {"status": 503, "applied": False}),
    "error_body": Form(("session", "order_create", "order_status", "refund"), {}),
    "timeout_before": Form(REQUESTS, {"seconds": 30.0}),
    "timeout_after": Form(REQUESTS, {"seconds": 30.0}),
    "malformed": Form(("session", "order_create", "order_status", "refund"), {"applied": True}),
    "decline": Form(("payment_page",), {"status": "AUTHORIZATION_FAILED"}),
    "refund_failure": Form(("settlement",), {}),
    "refund_manual_review": Form(("settlement",), {}),
    "late": Form(("settlement", "webhook"), {"seconds": None}),
    "duplicate": Form(("webhook",), {"copies": 1}),
    "missing": Form(("webhook",), {}),
    "out_of_order": Form(("webhook",), {"seconds": 5.0}),
}


@dataclass(frozen=True)
class Fault:
    """What goes wrong when a rule fires. Fields that its kind does not use keep their defaults."""

    kind: str
    seconds: float = 0.0
    status: int | str = 0
    copies: int = 0
    applied: bool = False


@dataclass(frozen=True)
class Rule:
    """When something goes wrong: which calls the rule matches and which of them it takes."""

    name: str
    fault: Fault
    endpoints: tuple[str, ...]
    order: re.Pattern[str]
    events: tuple[str, ...]
    every: int
    chance: float
    seed: str
    times: int

    @property
    def counts(self) -> bool:
        """Whether the rule must remember earlier calls."""
        return self.every > 1 or self.times > 0

    @property
    def key(self) -> str:
        """Under which the rule's counts are kept: its name, and its text, so that a changed rule counts anew."""
        return f"{self.name[:100]} {hashlib.blake2b(repr(self).encode(), digest_size=8).hexdigest()}"

    def matches(self, *, endpoint: str, order_id: str, event: str) -> bool:
        """Return whether the rule speaks about this call at all; its counters are not looked at here."""
        if endpoint not in self.endpoints or not self.order.fullmatch(order_id):
            return False
        if self.events and event not in self.events:
            return False
        return self.chance >= 1 or draw_number(seed=self.seed, order_id=order_id) < self.chance


def draw_number(*, seed: str, order_id: str) -> float:
    """Return a number from 0 to 1 that depends on seed and order only, so that every run draws the same orders."""
    digest = hashlib.blake2b(f"{seed}\x00{order_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
