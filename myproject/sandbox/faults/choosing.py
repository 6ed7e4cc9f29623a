"""Which rule fires for a call. The first that does wins; what it took does not count for the rules below it."""

from __future__ import annotations

from collections.abc import Sequence

from ..configuration import configuration
from ..database import writing
from ..models import FaultCount
from .rules import Fault, Rule


def choose_fault(*, endpoint: str, order_id: str, event: str = "") -> Fault | None:
    """Return the fault for this call, or None. Counts the call for the rules that count."""
    rules = configuration().rules
    return _choose(rules, endpoint=endpoint, order_id=order_id, event=event) if rules else None


def _choose(rules: Sequence[Rule], *, endpoint: str, order_id: str, event: str) -> Fault | None:
    for rule in rules:
        if rule.matches(endpoint=endpoint, order_id=order_id, event=event) and _is_turn(rule, order_id=order_id):
            return rule.fault
    return None


def _is_turn(rule: Rule, *, order_id: str) -> bool:
    if not rule.counts:
        return True
    with writing():
        if rule.every > 1 and _count(rule, order_id="") % rule.every:
            return False
        return not rule.times or _count(rule, order_id=order_id) <= rule.times


def _count(rule: Rule, *, order_id: str) -> int:
    row, _ = FaultCount.objects.get_or_create(rule=rule.key, order_id=order_id[:21])
    row.count += 1
    row.save(update_fields=["count"])
    return row.count
