"""The environment of a site: what the caller exported, what is generated once and kept, what follows from the ports."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from .installation import clean_environment
from .machine import user_name
from .places import Checkout, Place, read_json, write_json
from .ports import WILDCARDS, in_address, own_addresses, reachable

ADMIN_EMAIL = "admin@example.com"
SERVICE_EMAIL = "marketplace@example.com"
FLOWER_USER = "flower"

# Two cores: as many processes as keep both busy during a replay and start within a few seconds.
DEFAULTS = {
    "WORKER_ORDERS_CONCURRENCY": "2",
    "WORKER_EXTERNAL_CONCURRENCY": "2",
    "WORKER_DEFAULT_CONCURRENCY": "1",
    "WORKER_BULK_CONCURRENCY": "1",
    "WORKER_LOGS_CONCURRENCY": "1",
    "WORKER_CART_CONCURRENCY": "1",
    "WEB_PROCESSES": "2",
    "WEB_THREADS": "4",
    "LOG_LEVEL": "INFO",
    "LOG_MAX_BYTES": "10MB",
    "LOG_BACKUPS": "3",
    # The names of mission documents; a caller's own names reach the settings and the workers alike.
    "CELERY_CANCEL_ORDER_QUEUE": "cancel_order_queue",
    "CELERY_ORDER_REFUND_QUEUE": "order_refund_queue",
    "CELERY_EXTERNAL_API_QUEUE": "external_api_queue",
    "CELERY_MARKETING_QUEUE": "marketing_queue",
    "CELERY_ORDER_FLAG_QUEUE": "order_flag_queue",
    "CELERY_SEARCH_SYNC_QUEUE": "search_sync_queue",
    "CELERY_SYNC_QUEUE": "sync_queue",
    "CELERY_KINESIS_QUEUE": "kinesis_queue",
    "HL_AVAILABILITY_LOG_QUEUE": "hl_availability_log_queue",
    "VISITED_PRODUCT_LOGGING_QUEUE": "visited_product_logging_queue",
    # A real provider settles refunds within days; here the reader watches.
    "SANDBOX_SETTLEMENT_DELAY": "0.2",
}
# What a caller may have exported for a real shop and must never reach this one: the replay pays and refunds.
NEVER_FROM_OUTSIDE = (
    *("JUSPAY_BASE_URL", "JUSPAY_API_KEY", "JUSPAY_MERCHANT_ID", "JUSPAY_CLIENT_ID", "JUSPAY_RESPONSE_KEY"),
    *("JUSPAY_WEBHOOK_USER", "JUSPAY_WEBHOOK_PASSWORD", "DJANGO_SETTINGS_MODULE", "SITE_URL", "CELERY_CONFIG_MODULE"),
)
# A difference in one of these restarts a site that runs; the rest of the environment is the noise of a login session.
SETTING_NAMES = ("DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "SITE_URL", "STATE_DIR", "DEFAULT_FROM_EMAIL")
SETTING_PREFIXES = (
    *("ABANDON_CART_", "APP_", "AWS_", "BOOTSTRAP_", "CELERY_", "CSRF_", "DATABASE_", "DGRAPH_", "DJANGO_", "EMAIL_"),
    *("FLOWER_", "HL_", "JUSPAY_", "KINESIS_", "LOG_", "MAX_", "OPENSEARCH_", "OTEL_", "REDIS_", "SANDBOX_", "SECURE_"),
    *("SENTRY_", "SUPERVISOR_", "VALKEY_", "VISITED_", "WEB_", "WORKER_"),
)
SUPERVISED_MARK = "MYPROJECT_SUPERVISED"
LAUNCHED_MARK = "MYPROJECT_LAUNCHED"
SECRETS = {
    # name: bytes of randomness
    "SECRET_KEY": 48,
    "ADMIN_PASSWORD": 12,
    "FLOWER_PASSWORD": 18,
    "SERVICE_TOKEN": 32,
    "VALKEY_PASSWORD": 24,
    "VALKEY_CART_PASSWORD": 24,
    "JUSPAY_API_KEY": 24,
    "JUSPAY_RESPONSE_KEY": 24,
    "JUSPAY_WEBHOOK_PASSWORD": 24,
}


def load_secrets(place: Place) -> dict[str, object]:
    """Return the site's stored environment, generating and storing each secret that it lacks."""
    stored = read_json(place.secrets)
    known = stored.get("secrets")
    kept = {name: str(value) for name, value in known.items()} if isinstance(known, dict) else {}
    missing = {name: secrets.token_urlsafe(size) for name, size in SECRETS.items() if not kept.get(name)}
    stored["secrets"] = kept | missing
    if missing:
        write_json(place.secrets, stored)
    return stored


def remember_ports(place: Place, ports: Mapping[str, int]) -> None:
    """Keep the ports in use, so that the next start finds the site at the same address."""
    stored = read_json(place.secrets)
    if stored.get("ports") != dict(ports):
        stored["ports"] = dict(ports)
        write_json(place.secrets, stored)


def embedded_servers(outside: Mapping[str, str]) -> list[str]:
    """Return which embedded Valkey servers are needed: none for a store that the caller's environment names."""
    needed = []
    if not (outside.get("REDIS_URL") or outside.get("REDIS_HOST")):
        needed.append("valkey")
    if not (outside.get("ABANDON_CART_REDIS_URL") or outside.get("ABANDON_CART_REDIS_HOST")):
        needed.append("valkey_cart")
    return needed


def build_environment(
    checkout: Checkout, place: Place, *, stored: Mapping[str, object], ports: Mapping[str, int], host: str
) -> dict[str, str]:
    """Return the environment that every program of the site gets."""
    outside = {name: value for name, value in clean_environment().items() if name not in NEVER_FROM_OUTSIDE}
    key = stored["secrets"]
    if not isinstance(key, dict):
        raise TypeError("the stored secrets are no object")
    given = DEFAULTS | _default_stores(place, key, ports, embedded_servers(outside))
    chosen = given | {name: value for name, value in outside.items() if value or name not in given}
    return (
        chosen
        | _addresses(outside, ports, host)
        | _payments(place, key, ports, site=f"http://{in_address(reachable(host))}:{ports['web']}")
        | _logins(key)
        | _supervisor_variables(checkout, place, embedded_servers(outside))
    )


def _default_stores(
    place: Place, key: Mapping[str, str], ports: Mapping[str, int], servers: list[str]
) -> dict[str, str]:
    """Return where data goes unless the caller says otherwise."""
    given = {
        "SECRET_KEY": key["SECRET_KEY"],
        "DATABASE_URL": "sqlite:///" + quote(str(place.folder / "db.sqlite3")),
        "EMAIL_URL": "file://" + quote(str(place.folder / "mail")),
    }
    if "valkey" in servers:
        given["REDIS_URL"] = f"redis://:{key['VALKEY_PASSWORD']}@127.0.0.1:{ports['valkey']}/0"
    if "valkey_cart" in servers:
        given["ABANDON_CART_REDIS_URL"] = f"redis://:{key['VALKEY_CART_PASSWORD']}@127.0.0.1:{ports['valkey_cart']}/0"
    return given


def _addresses(outside: Mapping[str, str], ports: Mapping[str, int], host: str) -> dict[str, str]:
    """Return where web and Flower listen, how they are called, and that loopback never goes through a proxy."""
    local = in_address(reachable(host))
    hosts = ["127.0.0.1", "localhost", "[::1]", *outside.get("ALLOWED_HOSTS", "").split(",")]
    if host not in ("127.0.0.1", "localhost"):
        hosts += [in_address(name) for name in ([host] if host not in WILDCARDS else own_addresses())]
    past_proxy = outside.get("NO_PROXY", outside.get("no_proxy", "")).split(",")
    no_proxy = _join([*past_proxy, "127.0.0.1", "localhost", "::1", reachable(host)])
    return {
        "SITE_URL": f"http://{local}:{ports['web']}",
        "ALLOWED_HOSTS": _join(hosts),
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "WEB_BIND": f"{in_address(host)}:{ports['web']}",
        "FLOWER_ADDRESS": host,
        "FLOWER_PORT": str(ports["flower"]),
        "FLOWER_URL": f"http://{local}:{ports['flower']}/",
    }


def _join(names: Iterable[str]) -> str:
    return ",".join(dict.fromkeys(name.strip() for name in names if name.strip()))


def _payments(place: Place, key: Mapping[str, str], ports: Mapping[str, int], *, site: str) -> dict[str, str]:
    """Return both ends of the payment line: our client's and the stand-in's."""
    sandbox = f"http://127.0.0.1:{ports['sandbox']}"
    ours = {
        "API_KEY": key["JUSPAY_API_KEY"],
        "MERCHANT_ID": "myproject",
        "CLIENT_ID": "myproject-web",
        "RESPONSE_KEY": key["JUSPAY_RESPONSE_KEY"],
        "WEBHOOK_USER": "juspay",
        "WEBHOOK_PASSWORD": key["JUSPAY_WEBHOOK_PASSWORD"],
    }
    both = {f"{end}_{name}": value for end in ("JUSPAY", "SANDBOX") for name, value in ours.items()}
    return both | {
        "JUSPAY_BASE_URL": sandbox,
        "SANDBOX_DATABASE": str(place.folder / "sandbox.sqlite3"),
        "SANDBOX_HOST": "127.0.0.1",
        "SANDBOX_PORT": str(ports["sandbox"]),
        "SANDBOX_PUBLIC_URL": sandbox,
        "SANDBOX_WEBHOOK_URL": f"{site}/webhooks/juspay",
    }


def _logins(key: Mapping[str, str]) -> dict[str, str]:
    """Return the accounts that `bootstrap_site` makes, and Flower's."""
    return {
        "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{key['FLOWER_PASSWORD']}",
        "BOOTSTRAP_ADMIN_EMAIL": ADMIN_EMAIL,
        "BOOTSTRAP_ADMIN_PASSWORD": key["ADMIN_PASSWORD"],
        "BOOTSTRAP_SERVICE_EMAIL": SERVICE_EMAIL,
        "BOOTSTRAP_SERVICE_TOKEN": key["SERVICE_TOKEN"],
    }


def _supervisor_variables(checkout: Checkout, place: Place, servers: list[str]) -> dict[str, str]:
    """Return what the files of `supervisor/` ask for, and where things lie."""
    return {
        "DJANGO_SETTINGS_MODULE": "myproject.settings.development",
        "STATE_DIR": str(place.folder),
        "PYTHONUNBUFFERED": "1",
        # What a killed program leaves in its temporary folder goes with the site.
        "TMPDIR": str(checkout.socket_folder() / "tmp"),
        "APP_DIR": str(checkout.root),
        "APP_USER": user_name(),
        "APP_VENV": str(checkout.venv),
        "LOG_DIR": str(place.logs),
        "SUPERVISOR_SOCKET": str(checkout.socket_folder() / "supervisor.sock"),
        "SUPERVISOR_PIDFILE": str(place.folder / "supervisord.pid"),
        # The stores come first, then the database is brought up to date, then the rest is started by name.
        "SUPERVISOR_AUTOSTART": "false",
        "SUPERVISOR_INCLUDE": " ".join(f"development/{name}.conf" for name in [*servers, "sandbox"]),
        "VALKEY_CONFIG": str(place.folder / "valkey" / "valkey.conf"),
        "VALKEY_CART_CONFIG": str(place.folder / "valkey_cart" / "valkey.conf"),
    }


def fingerprint(environment: Mapping[str, str]) -> str:
    """Return a short name of the settings in `environment`."""
    settings = {
        name: value for name, value in environment.items() if name in SETTING_NAMES or name.startswith(SETTING_PREFIXES)
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def is_mysql_wanted() -> bool:
    """Tell whether the caller's DATABASE_URL names a MySQL or MariaDB server."""
    return os.environ.get("DATABASE_URL", "").lower().startswith(("mysql", "mariadb"))
