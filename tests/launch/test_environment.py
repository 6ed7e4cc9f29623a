"""The environment of a site: generated once, private, the caller's wins where it may and never where money moves."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from myproject.launch import environment, places

PORTS = {"web": 8001, "flower": 5556, "sandbox": 8011, "valkey": 6401, "valkey_cart": 6402}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> places.Place:
    for name in ("DATABASE_URL", "REDIS_URL", "REDIS_HOST", "ABANDON_CART_REDIS_URL", "ABANDON_CART_REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    found = places.Place(folder=tmp_path / ".state" / "sites" / "a", orders=tmp_path / "orders.csv")
    found.create()
    return found


def build(place: places.Place, host: str = "127.0.0.1") -> dict[str, str]:
    checkout = places.Checkout(root=place.folder.parents[2], state=place.folder.parents[1])
    stored = environment.load_secrets(place)
    built = environment.build_environment(checkout, place, stored=stored, ports=PORTS, host=host)
    checkout.socket_folder().rmdir()
    return built


def test_secrets_are_generated_once_and_kept_for_the_owner_only(place: places.Place) -> None:
    first = environment.load_secrets(place)["secrets"]
    second = environment.load_secrets(place)["secrets"]
    assert first == second
    assert isinstance(first, dict)
    assert set(first) == set(environment.SECRETS)
    assert len(set(first.values())) == len(first)
    assert len(first["SECRET_KEY"]) >= 50
    assert stat.S_IMODE(place.secrets.stat().st_mode) == 0o600
    for folder in (place.folder, place.logs, place.folder / "mail", place.folder / "valkey"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_ports_are_kept_beside_the_secrets(place: places.Place) -> None:
    secrets = environment.load_secrets(place)["secrets"]
    environment.remember_ports(place, PORTS)
    assert places.read_json(place.secrets) == {"secrets": secrets, "ports": PORTS}


def test_all_is_embedded_unless_the_caller_names_stores(place: places.Place) -> None:
    built = build(place)
    assert urlsplit(built["REDIS_URL"]).port == PORTS["valkey"]
    assert urlsplit(built["ABANDON_CART_REDIS_URL"]).port == PORTS["valkey_cart"]
    assert built["REDIS_URL"] != built["ABANDON_CART_REDIS_URL"]
    assert built["DATABASE_URL"] == f"sqlite:///{place.folder}/db.sqlite3"
    assert built["SUPERVISOR_INCLUDE"].split() == [
        "development/valkey.conf",
        "development/valkey_cart.conf",
        "development/sandbox.conf",
    ]


def test_the_callers_stores_win_and_need_no_embedded_server(
    place: places.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379/4")
    monkeypatch.setenv("ABANDON_CART_REDIS_HOST", "carts")
    monkeypatch.setenv("DATABASE_URL", "mysql://shop@db/shop")
    built = build(place)
    assert built["REDIS_URL"] == "redis://elsewhere:6379/4"
    assert "ABANDON_CART_REDIS_URL" not in built
    assert built["ABANDON_CART_REDIS_HOST"] == "carts"
    assert built["DATABASE_URL"] == "mysql://shop@db/shop"
    assert built["SUPERVISOR_INCLUDE"] == "development/sandbox.conf"
    assert environment.is_mysql_wanted()


def test_a_real_providers_address_and_production_settings_never_reach_the_replay(
    place: places.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUSPAY_BASE_URL", "https://api.juspay.in")
    monkeypatch.setenv("JUSPAY_API_KEY", "a-live-key")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "myproject.settings.production")
    built = build(place)
    assert built["JUSPAY_BASE_URL"] == f"http://127.0.0.1:{PORTS['sandbox']}"
    assert "a-live-key" not in built.values()
    assert built["DJANGO_SETTINGS_MODULE"] == "myproject.settings.development"
    assert built["JUSPAY_API_KEY"] == built["SANDBOX_API_KEY"]
    assert built["JUSPAY_WEBHOOK_PASSWORD"] == built["SANDBOX_WEBHOOK_PASSWORD"]


def test_an_own_queue_name_reaches_settings_and_workers(place: places.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_CANCEL_ORDER_QUEUE", "cancel_fast")
    assert build(place)["CELERY_CANCEL_ORDER_QUEUE"] == "cancel_fast"


def test_what_leads_a_python_astray_is_left_behind(place: places.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere/else")
    built = build(place)
    assert "PYTHONPATH" not in built
    assert "VIRTUAL_ENV" not in built


def test_loopback_is_never_asked_through_a_proxy(place: places.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "intranet")
    assert build(place)["NO_PROXY"].split(",") == ["intranet", "127.0.0.1", "localhost", "::1"]


def test_a_host_is_added_to_the_allowed_hosts(place: places.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "shop.test")
    assert build(place)["ALLOWED_HOSTS"] == "127.0.0.1,localhost,[::1],shop.test"
    assert build(place, "10.1.2.3")["ALLOWED_HOSTS"].endswith(",shop.test,10.1.2.3")
    monkeypatch.setattr(environment, "own_addresses", lambda: ["box", "10.9.8.7"])
    built = build(place, "0.0.0.0")
    assert built["ALLOWED_HOSTS"].endswith(",shop.test,box,10.9.8.7")
    assert built["WEB_BIND"] == "0.0.0.0:8001"
    assert built["SITE_URL"] == "http://127.0.0.1:8001"
    assert build(place, "::")["WEB_BIND"] == "[::]:8001"


def test_a_setting_changes_the_fingerprint_and_the_login_session_does_not(
    place: places.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = environment.fingerprint(build(place))
    monkeypatch.setenv("SSH_TTY", "/dev/pts/9")
    monkeypatch.setenv("TERM", "vt100")
    assert environment.fingerprint(build(place)) == before
    monkeypatch.setenv("CELERY_VISIBILITY_TIMEOUT", "7200")
    assert environment.fingerprint(build(place)) != before
