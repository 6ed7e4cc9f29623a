"""The record: what it adds up to, and that nobody changes it."""

import json
import sqlite3
import subprocess
from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.sandbox.merchant import Sandbox, environment, next_id
from tests.servers.processes import ROOT, python

pytestmark = pytest.mark.server


def fill(sandbox: Sandbox) -> tuple[str, str]:
    """Two paid orders of two currencies, one of them partly refunded, and one order of each unpaid kind."""
    pounds = sandbox.charged_order("19.99", "GBP")
    rupees = sandbox.charged_order("500.00", "INR")
    sandbox.refund(pounds, "4.50")
    sandbox.settled(pounds)
    sandbox.press(sandbox.session(next_id(), "7.00"), "decline")
    sandbox.press(sandbox.session(next_id(), "8.00"), "abandon")
    return pounds, rupees


def test_totals_are_exact(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox()
    pounds, rupees = fill(sandbox)

    totals = sandbox.totals()

    assert totals["currencies"] == {
        "GBP": {"captured": "19.99", "refunded": "4.50", "refunds_pending": "0.00"},
        "INR": {"captured": "500.00", "refunded": "0.00", "refunds_pending": "0.00"},
    }
    assert totals["counts"] == {
        "order_created": 4,
        "charged": 2,
        "declined": 1,
        "abandoned": 1,
        "refund_accepted": 1,
        "refund_settled": 1,
        "webhook_sent": 0,
    }
    assert totals["refunds_settled"] == {"SUCCESS": 1, "FAILURE": 0, "MANUAL_REVIEW": 0}
    assert totals["last_id"] == 10
    assert totals["orders"][:2] == [
        {
            "order_id": pounds,
            "currency": "GBP",
            "captured": "19.99",
            "refunded": "4.50",
            "refunds_accepted": 1,
            "refunds_succeeded": 1,
        },
        {
            "order_id": rupees,
            "currency": "INR",
            "captured": "500.00",
            "refunded": "0.00",
            "refunds_accepted": 0,
            "refunds_succeeded": 0,
        },
    ]
    assert "orders" not in sandbox.http.get("/sandbox/record/totals?orders=false").json()

    command = [python(), "-m", "myproject.sandbox", "record"]
    env = environment(sandbox.folder)
    as_json = subprocess.run([*command, "--json"], env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    as_text = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(as_json.stdout) == totals
    assert "captured" in as_text.stdout
    assert "19.99 GBP" in as_text.stdout


def test_accepted_refund_is_pending_until_it_is_settled(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order("10.00", "EUR", prefix="RLATE")
    before = Decimal(sandbox.totals()["currencies"]["EUR"]["refunds_pending"])

    sandbox.refund(order_id, "10.00")

    money = sandbox.totals()["currencies"]["EUR"]
    assert Decimal(money["refunds_pending"]) - before == 10


def test_failed_and_reviewed_refunds_are_not_refunded(sandbox: Sandbox) -> None:
    for prefix in ("RFAIL", "RHUMAN"):
        order_id = sandbox.charged_order("10.00", "USD", prefix=prefix)
        sandbox.refund(order_id, "10.00")
        sandbox.settled(order_id)

    assert sandbox.totals()["currencies"]["USD"]["refunded"] == "0.00"


def test_record_is_read_in_pages(sandbox: Sandbox) -> None:
    sandbox.charged_order()

    first = sandbox.http.get("/sandbox/record", params={"limit": 1}).json()
    second = sandbox.http.get("/sandbox/record", params={"limit": 1, "after": first["next_after"]}).json()

    assert [len(first["entries"]), len(second["entries"])] == [1, 1]
    assert first["entries"][0]["id"] < second["entries"][0]["id"]
    assert set(first["entries"][0]) == {
        "id", "kind", "order_id", "reference", "currency", "amount", "outcome", "recorded_at",
    }  # fmt: skip
    beyond = sandbox.http.get("/sandbox/record", params={"after": 10**9}).json()
    assert beyond == {"entries": [], "next_after": None}


@pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=0", "limit=1001", f"after={10**30}"])
def test_wrong_page_is_refused(sandbox: Sandbox, query: str) -> None:
    assert sandbox.http.get(f"/sandbox/record?{query}").status_code == 400


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sandbox_entry SET amount = 1",
        "DELETE FROM sandbox_entry",
        "INSERT OR REPLACE INTO sandbox_entry SELECT * FROM sandbox_entry LIMIT 1",
    ],
)
def test_database_refuses_to_change_the_record(sandbox: Sandbox, statement: str) -> None:
    sandbox.charged_order()
    with sandbox.open_file() as file:
        before = file.execute("SELECT COUNT(*), SUM(amount) FROM sandbox_entry WHERE id <= 2").fetchone()

        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            file.execute(statement)

        assert file.execute("SELECT COUNT(*), SUM(amount) FROM sandbox_entry WHERE id <= 2").fetchone() == before


def test_database_refuses_a_second_charge_and_a_second_settlement(sandbox: Sandbox) -> None:
    order_id = sandbox.charged_order("10.00")
    sandbox.refund(order_id, "10.00")
    sandbox.settled(order_id)
    again = (
        "INSERT INTO sandbox_entry (kind, order_id, reference, currency, amount, outcome, recorded_at) "
        "SELECT kind, order_id, reference, currency, amount, outcome, recorded_at FROM sandbox_entry "
        "WHERE order_id = ? AND kind = ?"
    )

    for kind in ("order_created", "charged", "refund_accepted", "refund_settled"):
        with sandbox.open_file() as file, pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            file.execute(again, (order_id, kind))


def test_model_refuses_to_change_the_record(sandbox: Sandbox) -> None:
    code = """
from myproject.sandbox.models import AppendOnly, Entry
entry = Entry.objects.first()
for change in (entry.save, entry.delete, Entry.objects.all().delete, lambda: Entry.objects.update(amount=1)):
    try:
        change()
    except AppendOnly:
        print("refused")
"""
    sandbox.charged_order()

    done = subprocess.run(
        [python(), "-m", "myproject.sandbox", "shell", "--no-imports", "-c", code],
        env=environment(sandbox.folder),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["refused"] * 4
