"""Outside systems: the payment provider, mail, Flower."""

from __future__ import annotations

import dj_email_url
from django.core.exceptions import ImproperlyConfigured

from myproject.environment import read, read_positive, read_web_url

# --- Juspay (payments by card and UPI, refunds) --------------------------------------------------------------------
JUSPAY_BASE_URL = read_web_url("JUSPAY_BASE_URL", "http://127.0.0.1:8010")  # where the stand-in listens
JUSPAY_API_KEY = read("str", "JUSPAY_API_KEY", "", allowed="the API key of the dashboard", secret=True)
JUSPAY_MERCHANT_ID = read("str", "JUSPAY_MERCHANT_ID", "", allowed="the merchant id")
JUSPAY_CLIENT_ID = read("str", "JUSPAY_CLIENT_ID", "", allowed="the payment page's client id")
JUSPAY_RESPONSE_KEY = read("str", "JUSPAY_RESPONSE_KEY", "", allowed="the response key", secret=True)
JUSPAY_WEBHOOK_USER = read("str", "JUSPAY_WEBHOOK_USER", "", allowed="the webhook's user name")
JUSPAY_WEBHOOK_PASSWORD = read("str", "JUSPAY_WEBHOOK_PASSWORD", "", allowed="the webhook's password", secret=True)
# One call: the provider's slow answers stay below 10 s; a longer wait only holds a worker.
JUSPAY_TIMEOUT = read_positive("JUSPAY_TIMEOUT", 10.0, unit="seconds", kind="float")

# --- Mail ---------------------------------------------------------------------------------------------------------
EMAIL_URL = read("str", "EMAIL_URL", "console://", allowed="smtp://, console:// or file:///folder", secret=True)
try:
    _mail = dj_email_url.parse(EMAIL_URL)
except ValueError:  # its text may hold a part of the password
    _mail = {}
if "EMAIL_BACKEND" not in _mail:
    raise ImproperlyConfigured(
        "EMAIL_URL: read an unknown scheme or a wrong port; allowed is smtp://host:port, console:// or file:///folder."
    )
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_HOST = _mail.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = _mail.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = bool(_mail.get("EMAIL_USE_TLS"))
EMAIL_USE_SSL = bool(_mail.get("EMAIL_USE_SSL"))
EMAIL_FILE_PATH = "/" + str(_mail.get("EMAIL_FILE_PATH") or "").lstrip("/")
EMAIL_TIMEOUT = 10  # seconds: a mail server that hangs must not hold a worker
DEFAULT_FROM_EMAIL = read("str", "DEFAULT_FROM_EMAIL", "shop@example.com", allowed="a mail address")

# --- Flower -------------------------------------------------------------------------------------------------------
FLOWER_BASIC_AUTH = read("str", "FLOWER_BASIC_AUTH", "", allowed="user:password", secret=True)
FLOWER_URL = read_web_url("FLOWER_URL")  # where operators reach it; the home page links there
