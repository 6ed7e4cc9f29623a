"""The command `import_products`: its exit statuses and what it prints."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from catalog.models import PriceList, Product
from tests.catalog.files import JEANS, SHIRT, write_file

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import_products", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_it_ends_with_the_counts(tmp_path: Path) -> None:
    out, err = run(str(write_file(tmp_path, SHIRT, JEANS)), "--demo-prices", "--price-list", "try-out")

    assert out.startswith(
        "2 rows: 2 created, 0 changed, 0 unchanged, 0 rejected; 5 categories and 8 tags new; "
        "2 prices and 2 receipts written; "
    )
    assert err == ""
    assert PriceList.objects.get().code == "try-out"


def test_rejected_rows_are_named_and_make_status_4(tmp_path: Path) -> None:
    path = write_file(tmp_path, SHIRT, "1,2,3")
    out, err = io.StringIO(), io.StringIO()

    with pytest.raises(SystemExit) as caught:
        call_command("import_products", str(path), stdout=out, stderr=err)

    assert caught.value.code == 4
    assert err.getvalue() == "line 3: 3 fields instead of 10\n"
    assert "1 created" in out.getvalue()
    assert "1 rejected" in out.getvalue()
    assert Product.objects.count() == 1


def test_a_missing_file_makes_status_2(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        run(str(tmp_path / "missing.csv"))

    assert caught.value.returncode == 2
    assert "missing.csv" in str(caught.value)


def test_a_list_in_another_currency_makes_status_2_and_writes_nothing(tmp_path: Path) -> None:
    PriceList.objects.create(code="gbp", name="Pounds", currency="GBP")

    with pytest.raises(CommandError) as caught:
        run(str(write_file(tmp_path, SHIRT)), "--demo-prices", "--price-list", "gbp")

    assert caught.value.returncode == 2
    assert str(caught.value) == "Price list gbp is in GBP, not in INR."
    assert Product.objects.count() == 0


def test_a_price_list_without_demo_prices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        run(str(write_file(tmp_path, SHIRT)), "--price-list", "other")

    assert caught.value.returncode == 2
    assert Product.objects.count() == 0


def test_ctrl_c_makes_status_130_and_keeps_what_was_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("catalog.management.commands.import_products.Command._show_progress", interrupt)

    with pytest.raises(SystemExit) as caught:
        run(str(write_file(tmp_path, SHIRT)))

    assert caught.value.code == 130
    assert Product.objects.count() == 1
