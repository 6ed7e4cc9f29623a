"""Reading fault rules: a wrong one is refused with its number, its field and what is allowed."""

import json
from typing import Any

import pytest

from myproject.sandbox.faults.parsing import RuleError, parse_rules
from myproject.sandbox.faults.rules import FORMS, Fault, draw_number

GOOD = {"endpoint": "session", "fault": "latency", "seconds": 1}


def test_rule_is_read_with_its_defaults() -> None:
    (rule,) = parse_rules(json.dumps([GOOD]))

    assert rule.fault == Fault(kind="latency", seconds=1.0)
    assert (rule.name, rule.endpoints, rule.events, rule.every, rule.chance, rule.times) == (
        "rule 1",
        ("session",),
        (),
        1,
        1.0,
        0,
    )
    assert rule.matches(endpoint="session", order_id="anything", event="")
    assert not rule.matches(endpoint="refund", order_id="anything", event="")


def test_star_means_every_endpoint_of_the_fault() -> None:
    (rule,) = parse_rules('[{"endpoint": "*", "fault": "late", "seconds": 1}]')

    assert rule.endpoints == ("settlement", "webhook")


def test_order_pattern_must_match_the_whole_id() -> None:
    (rule,) = parse_rules(json.dumps([GOOD | {"order": "A[0-9]"}]))

    assert rule.matches(endpoint="session", order_id="A1", event="")
    assert not rule.matches(endpoint="session", order_id="A12", event="")
    assert not rule.matches(endpoint="session", order_id="xA1", event="")


def test_event_limits_a_webhook_rule() -> None:
    (rule,) = parse_rules('[{"endpoint": "webhook", "fault": "missing", "event": ["ORDER_REFUNDED"]}]')

    assert rule.matches(endpoint="webhook", order_id="A", event="ORDER_REFUNDED")
    assert not rule.matches(endpoint="webhook", order_id="A", event="ORDER_SUCCEEDED")


def test_drawn_numbers_depend_on_seed_and_order_only() -> None:
    numbers = [draw_number(seed="1", order_id=f"O{number}") for number in range(1000)]

    assert numbers == [draw_number(seed="1", order_id=f"O{number}") for number in range(1000)]
    assert numbers != [draw_number(seed="2", order_id=f"O{number}") for number in range(1000)]
    assert 0.45 < sum(number < 0.5 for number in numbers) / 1000 < 0.55


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("{}", "a JSON list"),
        ("[1]", "rule 1: allowed is a JSON object"),
    ],
)
def test_text_that_is_no_list_of_rules_is_refused(text: str, words: str) -> None:
    with pytest.raises(RuleError, match=words):
        parse_rules(text)


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"endpoint": "session"}, "fault"),
        (GOOD | {"fault": "explode"}, "fault"),
        ({"fault": "latency", "seconds": 1}, "endpoint"),
        (GOOD | {"endpoint": "sessions"}, "endpoint"),
        (GOOD | {"endpoint": "webhook"}, "endpoint"),
        (GOOD | {"endpoint": ["session", 1]}, "endpoint"),
        (GOOD | {"order": "("}, "order"),
        (GOOD | {"order": 1}, "order"),
        (GOOD | {"event": "ORDER_SUCCEEDED"}, "event"),
        (GOOD | {"every": 0}, "every"),
        (GOOD | {"every": True}, "every"),
        (GOOD | {"times": 1.5}, "times"),
        (GOOD | {"chance": 0}, "chance"),
        (GOOD | {"chance": 2}, "chance"),
        (GOOD | {"seed": 1.5}, "seed"),
        (GOOD | {"name": ""}, "name"),
        (GOOD | {"seconds": -1}, "seconds"),
        (GOOD | {"seconds": "1"}, "seconds"),
        ({"endpoint": "session", "fault": "latency"}, "seconds"),
        (GOOD | {"second": 1}, "second"),
        (GOOD | {"copies": 1}, "copies"),
        ({"endpoint": "session", "fault": "error", "status": 404}, "status"),
        ({"endpoint": "session", "fault": "error", "applied": 1}, "applied"),
        ({"endpoint": "payment_page", "fault": "decline", "status": "CHARGED"}, "status"),
        ({"endpoint": "webhook", "fault": "duplicate", "copies": 0}, "copies"),
    ],
)
def test_wrong_field_is_named(rule: dict[str, Any], field: str) -> None:
    with pytest.raises(RuleError, match=f"rule 2: field '{field}'"):
        parse_rules(json.dumps([GOOD, rule]))


def test_names_must_differ() -> None:
    with pytest.raises(RuleError, match="field 'name': 'a' is used by more than one rule"):
        parse_rules(json.dumps([GOOD | {"name": "a"}] * 2))


@pytest.mark.parametrize("fault", FORMS)
def test_every_fault_can_be_asked_for_at_each_of_its_endpoints(fault: str) -> None:
    needed = {"seconds": 1} if "seconds" in FORMS[fault].fields else {}

    rules = parse_rules(json.dumps([{"endpoint": list(FORMS[fault].endpoints), "fault": fault, **needed}]))

    assert rules[0].endpoints == FORMS[fault].endpoints
