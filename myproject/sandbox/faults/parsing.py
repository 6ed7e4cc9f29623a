"""Reading fault rules from JSON. Whoever wrote them learns which rule and which field is wrong, and what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ..states import DECLINES
from .rules import ENDPOINTS, FORMS, Fault, Rule

MATCHERS = ("name", "endpoint", "order", "event", "every", "chance", "seed", "times", "fault")
LONGEST_WAIT = 3600.0  # seconds; a longer fault is a mistake of the unit, and would hold a server thread that long
MOST_COPIES = 20


class RuleError(ValueError):
    """A rule is wrong. Read by whoever wrote it: the text names rule and field, what was read and what is allowed."""


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules of a JSON list. Raises RuleError."""
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise RuleError(f"not valid JSON ({error}).") from error
    if not isinstance(entries, list):
        raise RuleError("allowed is a JSON list of rules.")
    rules = tuple(_parse_rule(entry, number) for number, entry in enumerate(entries, start=1))
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise RuleError(f"field 'name': {name!r} is used by more than one rule.")
    return rules


def _parse_rule(entry: Any, number: int) -> Rule:
    where = f"rule {number}"
    if not isinstance(entry, dict):
        raise RuleError(f"{where}: allowed is a JSON object.")
    kind = entry.get("fault")
    if not isinstance(kind, str) or kind not in FORMS:
        raise _wrong(where, "fault", kind, "one of " + ", ".join(FORMS))
    form = FORMS[kind]
    for name in entry:
        if name not in MATCHERS and name not in form.fields:
            allowed = ", ".join((*MATCHERS, *form.fields))
            raise RuleError(f"{where}: field {name!r} is not known for fault {kind!r}; allowed are {allowed}.")

    endpoints = _parse_endpoints(where, entry, form.endpoints, kind)
    events = _parse_texts(where, entry, "event")
    if events and endpoints != ("webhook",):
        raise _wrong(where, "event", entry["event"], "only rules of the endpoint webhook")
    return Rule(
        name=_check(where, entry, "name", where, "a text", lambda value: isinstance(value, str) and value != ""),
        fault=_parse_fault(where, entry, kind),
        endpoints=endpoints,
        order=_parse_pattern(where, entry),
        events=events,
        every=_check(where, entry, "every", 1, "a whole number from 1", lambda value: _is_whole(value) and value >= 1),
        chance=float(
            _check(where, entry, "chance", 1, "a number above 0, at most 1", lambda v: _is_number(v) and 0 < v <= 1)
        ),
        seed=str(
            _check(where, entry, "seed", 0, "a text or whole number", lambda v: isinstance(v, str) or _is_whole(v))
        ),
        times=_check(where, entry, "times", 0, "a whole number from 1", lambda value: _is_whole(value) and value >= 1),
    )


def _parse_fault(where: str, entry: dict[str, Any], kind: str) -> Fault:
    fields = FORMS[kind].fields
    values: dict[str, Any] = {}
    for name, default in fields.items():
        if default is None and name not in entry:
            raise RuleError(f"{where}: field {name!r} is missing; fault {kind!r} needs it.")
        if name == "seconds":
            allowed = f"a number from 0 to {LONGEST_WAIT:.0f}"
            seconds = _check(where, entry, name, default, allowed, lambda v: _is_number(v) and 0 <= v <= LONGEST_WAIT)
            values[name] = float(seconds)
        elif name == "copies":
            allowed = f"a whole number from 1 to {MOST_COPIES}"
            values[name] = _check(
                where, entry, name, default, allowed, lambda v: _is_whole(v) and 1 <= v <= MOST_COPIES
            )
        elif name == "applied":
            values[name] = _check(where, entry, name, default, "true or false", lambda v: isinstance(v, bool))
        elif kind == "decline":
            values[name] = _check(where, entry, name, default, "one of " + ", ".join(DECLINES), lambda v: v in DECLINES)
        else:
            allowed = "429 or a number from 500 to 599"
            values[name] = _check(
                where, entry, name, default, allowed, lambda v: _is_whole(v) and (v == 429 or 500 <= v <= 599)
            )
    return Fault(kind=kind, **values)


def _parse_endpoints(where: str, entry: dict[str, Any], allowed: tuple[str, ...], kind: str) -> tuple[str, ...]:
    if entry.get("endpoint") == "*":
        return allowed
    endpoints = _parse_texts(where, entry, "endpoint")
    if not endpoints:
        raise RuleError(f"{where}: field 'endpoint' is missing; allowed are * or {', '.join(ENDPOINTS)}.")
    for endpoint in endpoints:
        if endpoint not in ENDPOINTS:
            raise _wrong(where, "endpoint", endpoint, "* or " + ", ".join(ENDPOINTS))
        if endpoint not in allowed:
            raise _wrong(where, "endpoint", endpoint, f"{', '.join(allowed)} for fault {kind!r}")
    return endpoints


def _parse_texts(where: str, entry: dict[str, Any], name: str) -> tuple[str, ...]:
    value = entry.get(name, [])
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise _wrong(where, name, value, "a text or a list of texts")
    return tuple(texts)


def _parse_pattern(where: str, entry: dict[str, Any]) -> re.Pattern[str]:
    text = entry.get("order", ".*")
    try:
        return re.compile(text)
    except (re.error, TypeError) as error:
        raise _wrong(where, "order", text, "a regular expression that the whole order id must match") from error


def _check(
    where: str, entry: dict[str, Any], name: str, default: Any, allowed: str, accept: Callable[[Any], bool]
) -> Any:
    if name not in entry:
        return default
    value = entry[name]
    if not accept(value):
        raise _wrong(where, name, value, allowed)
    return value


def _wrong(where: str, field: str, value: object, allowed: str) -> RuleError:
    return RuleError(f"{where}: field {field!r}: read {value!r}; allowed is {allowed}.")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
