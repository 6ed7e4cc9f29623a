"""What holds everywhere: applications, database, API, files, logs."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dj_database_url
import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured

from myproject.environment import (
    client_url,
    neighbour_database,
    read,
    read_between,
    read_choice,
    read_positive,
    read_redis,
    read_web_url,
)
from myproject.logging import logging_settings

from .celery import *
from .integrations import *

django_stubs_ext.monkeypatch()  # `ModelAdmin[Message]` at run time as the type checker reads it

BASE_DIR = Path(__file__).resolve().parents[2]
STATE_DIR = Path(read("str", "STATE_DIR", str(BASE_DIR / ".state"), allowed="a folder that can be written"))

DEBUG = read("bool", "DEBUG", False, allowed="true or false")
INSECURE_SECRET_KEY = "insecure-key-for-development-only"  # production refuses it by this very value
SECRET_KEY = read("str", "SECRET_KEY", INSECURE_SECRET_KEY, allowed="50 or more random characters", secret=True)
ALLOWED_HOSTS = read("list", "ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"], allowed="host names with commas")
CSRF_TRUSTED_ORIGINS = read("list", "CSRF_TRUSTED_ORIGINS", [], allowed="origins with commas")
SITE_URL = read_web_url("SITE_URL", "http://127.0.0.1:8000")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_structlog",
    "django_celery_beat",
    "django_celery_results",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "treebeard",
    "myproject.accounts",
    "myproject.api",
    "myproject.jobs",
    "myproject.operations",
    "catalog",
    "notifications",
    "orders",
    "search",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "myproject.urls"
WSGI_APPLICATION = "myproject.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database -----------------------------------------------------------------------------------------------------
# A connection lives 60 s and is probed before reuse: a fresh one costs about 1 ms per task or request, and without the
# probe the first query after the server dropped an idle connection fails ("server has gone away").
DATABASE_URL = read(
    "str", "DATABASE_URL", f"sqlite:///{STATE_DIR / 'db.sqlite3'}", allowed="sqlite:/// or mysql://", secret=True
)
# Seconds. A server that hangs keeps its sockets open, and the driver would wait for ever. What it gives up on is error
# 2013 or 2002: trouble of the database, which costs a job no attempt; a request is answered with 503.
LOCK_WAIT = 10  # innodb_lock_wait_timeout: the longest that a statement of ours waits legitimately
# A connection is one round trip, a login three: 5 s is a thousand times that, and half of what a proxy waits.
DATABASE_CONNECT_TIMEOUT = read_between("DATABASE_CONNECT_TIMEOUT", 5, low=1, high=60, what="a number of seconds")
# For one answer. Nothing of ours computes for longer than a few seconds; 60 s leaves room for the lock wait and for a
# slow disk. The web has 20 s (`wsgi.py`): nobody waits longer for a page. A migration has a day (`manage.py`).
# MariaDB's client library, which we build against, gives up after this time; MySQL's own after three times as long.
DATABASE_READ_TIMEOUT = read_between(
    "DATABASE_READ_TIMEOUT", 60, low=LOCK_WAIT + 1, high=86_400, what="a number of seconds"
)
# For the server to take one statement: it is silent only when the machine or the line is; 256 KiB take milliseconds.
DATABASE_WRITE_TIMEOUT = read_between("DATABASE_WRITE_TIMEOUT", 20, low=1, high=86_400, what="a number of seconds")


def read_database(url: str) -> dict[str, Any]:
    """Return Django's database settings for `url`, with what each server needs for safe concurrent writes."""
    allowed = "sqlite:///path or mysql://user:password@host:port/name"
    try:
        settings: dict[str, Any] = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    except ValueError:  # its text may hold a part of the password
        raise ImproperlyConfigured(
            f"DATABASE_URL: read an unknown scheme or a wrong port; allowed is {allowed}."
        ) from None
    options: dict[str, Any] = settings.setdefault("OPTIONS", {})
    # The same backends, with the rows of a transaction's jobs riding on its COMMIT.
    settings["ENGINE"] = settings["ENGINE"].replace("django.db.backends", "myproject.databases")
    if settings["ENGINE"].endswith("sqlite3"):
        # IMMEDIATE takes the write lock at BEGIN: a deferred transaction that turns writer fails at once instead of
        # waiting. 20 s of waiting held 1,000 tasks of four processes without one lock error.
        options["transaction_mode"] = "IMMEDIATE"
        # As with Django's own backend, which pytest-django knows by its name; it would add to that of the file.
        settings["TEST"] = {"NAME": ":memory:"}
        options["timeout"] = 20
        options["init_command"] = (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA cache_size=-65536;"
        )
    elif settings["ENGINE"].endswith("mysql"):
        if find_spec("MySQLdb") is None:
            raise ImproperlyConfigured(
                "DATABASE_URL asks for MySQL, but its driver is not installed: install the system's client headers "
                "(libmariadb-dev, pkg-config, a C compiler) and run `pip install --require-hashes -r requirements.txt`."
            )
        # READ COMMITTED: repeatable read locks gaps, and gap locks are what two inserting workers deadlock on.
        options["isolation_level"] = "read committed"
        options["charset"] = "utf8mb4"
        options["init_command"] = f"SET sql_mode='STRICT_ALL_TABLES', innodb_lock_wait_timeout={LOCK_WAIT}"
        # What stands in the address (`?read_timeout=300`) wins.
        options.setdefault("connect_timeout", DATABASE_CONNECT_TIMEOUT)
        options.setdefault("read_timeout", DATABASE_READ_TIMEOUT)
        options.setdefault("write_timeout", DATABASE_WRITE_TIMEOUT)
    else:
        raise ImproperlyConfigured(f"DATABASE_URL: read another kind of database; allowed is {allowed}.")
    return settings


DATABASES = {"default": read_database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Cache: next to the broker, JSON only (a pickle in a cache is code that anyone with the password can run) ------
REDIS_CACHE_URL = client_url(neighbour_database(read_redis("REDIS", default_database=0), 2))
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_CACHE_URL,
        "OPTIONS": {"serializer": "myproject.api.cache.JSONSerializer", "socket_timeout": 2},
    }
}

# --- Identity -----------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["myproject.accounts.backends.PersonBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "admin:login"

# --- API ----------------------------------------------------------------------------------------------------------
# A person clicks; a marketplace feed pours. The service account is not throttled (its permission exempts it). Ten tries
# a minute are more than anybody who forgot a password makes, and too few to guess one.
THROTTLE_RATES = {"user": "600/min", "anon": "120/min", "credentials": "10/min"}
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["myproject.api.parsers.JSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "myproject.api.pagination.CursorPagination",
    "PAGE_SIZE": 50,
    "EXCEPTION_HANDLER": "myproject.api.problems.problem_handler",
    "DEFAULT_SCHEMA_CLASS": "myproject.api.schema.ProblemAutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["myproject.api.throttles.UserThrottle", "myproject.api.throttles.AnonymousThrottle"],
    "DEFAULT_THROTTLE_RATES": THROTTLE_RATES,
    # How many proxies in front of the site add to X-Forwarded-For. Anybody can send that header, so with 0 it is not
    # looked at; behind one proxy it must be 1, or all visitors share one address.
    "NUM_PROXIES": read_between("NUM_PROXIES", 0, low=0, high=10, what="the number of proxies in front of the site"),
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Commerce backend",
    "DESCRIPTION": "Orders, cancellations, catalogue, search and task status.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {  # fields of one name, `status`, with several sets of values
        "OrderStatusEnum": "orders.states.OrderStatus",
        "PaymentStatusEnum": "orders.states.PaymentStatus",
        "CancellationStatusEnum": "orders.states.CancellationStatus",
    },
}
REST_KNOX = {"TOKEN_TTL": None, "AUTO_REFRESH": False}

# --- Files, languages, time ---------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = STATE_DIR / "static"
MEDIA_ROOT = STATE_DIR / "media"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# --- Logs ---------------------------------------------------------------------------------------------------------
LOG_FORMAT = read_choice("LOG_FORMAT", "auto", ("auto", "json", "console"))
LOG_LEVEL = read_choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING_CONFIG = None
LOGGING = logging_settings(format_name=LOG_FORMAT, level=LOG_LEVEL)
DJANGO_STRUCTLOG_CELERY_ENABLED = False  # our own signals bind task id and request id, and never arguments
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # an address is personal data; the user's id is enough to find a request
# One line per request, when it ends, with method, path and status; gunicorn's own would add address and query.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG

# One request body: the longest real invoice has 675 lines, about 120 KB of JSON.
DATA_UPLOAD_MAX_MEMORY_SIZE = read_positive("MAX_REQUEST_BYTES", 2 * 1024 * 1024, unit="bytes")
