"""Production: nothing has a default that could be forgotten, and what belongs to a demonstration is refused."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from myproject.environment import read, read_positive

from . import weaknesses
from .base import *
from .base import (
    ALLOWED_HOSTS,
    DEBUG,
    INSTALLED_APPS,
    LOG_FORMAT,
    LOG_LEVEL,
    SECRET_KEY,
    logging_settings,
)
from .integrations import EMAIL_BACKEND, FLOWER_BASIC_AUTH, JUSPAY_BASE_URL

ENVIRONMENT = "production"

for _name in (
    "SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "SITE_URL", "EMAIL_URL", "FLOWER_BASIC_AUTH", "JUSPAY_BASE_URL",
    "JUSPAY_API_KEY", "JUSPAY_MERCHANT_ID", "JUSPAY_CLIENT_ID", "JUSPAY_RESPONSE_KEY", "JUSPAY_WEBHOOK_USER",
    "JUSPAY_WEBHOOK_PASSWORD",
):  # fmt: skip
    if not read("str", _name, allowed="set in production", secret=True).strip():
        raise ImproperlyConfigured(f"{_name}: read an empty value; production needs it set.")

if DEBUG:
    raise ImproperlyConfigured("DEBUG: read true; production refuses it, because error pages show settings.")
weaknesses.check_secret_key(SECRET_KEY)
weaknesses.check_hosts(ALLOWED_HOSTS)
weaknesses.check_flower(FLOWER_BASIC_AUTH)
weaknesses.check_provider(JUSPAY_BASE_URL)
weaknesses.check_mail(EMAIL_BACKEND)
if any(name.startswith("myproject.sandbox") for name in INSTALLED_APPS):
    raise ImproperlyConfigured("INSTALLED_APPS: myproject.sandbox is a stand-in and is refused in production.")

SECURE_SSL_REDIRECT = read("bool", "SECURE_SSL_REDIRECT", True, allowed="true or false")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = read_positive("SECURE_HSTS_SECONDS", 31_536_000, unit="seconds")
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

if LOG_FORMAT == "auto":
    LOGGING = logging_settings(format_name="json", level=LOG_LEVEL)
