"""The test suite: fast hashes; mail, cache and broker in memory, so that no test reaches a site that runs beside it.

Tests that need a real broker start programs of their own with CELERY_BROKER_URL and a database with DATABASE_URL.
"""

import os
from pathlib import Path

os.environ.setdefault("EMAIL_URL", "dummy://")
os.environ.setdefault("STATE_DIR", str(Path(__file__).resolve().parents[2] / ".state" / "test" / "state"))
NOBODY = "redis://127.0.0.1:1/0"  # an address where nothing listens
REDIS_URL = os.environ.setdefault("REDIS_URL", NOBODY)
os.environ.setdefault("ABANDON_CART_REDIS_URL", NOBODY)

from .base import *  # noqa: E402

ENVIRONMENT = "test"
# Not through the environment: Celery prefers that variable to any broker that a test gives to an app of its own.
if REDIS_URL == NOBODY and "CELERY_BROKER_URL" not in os.environ:
    CELERY_BROKER_URL = "memory://"
    CELERY_RESULT_BACKEND = "cache+memory://"
SECRET_KEY = "a-key-for-tests-that-is-long-enough-to-sign-with-it"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
# Tests sign up and in from one address as fast as they can; the test of the throttle sets the rate that it needs.
REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = {**THROTTLE_RATES, "credentials": None}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
JUSPAY_API_KEY = "test-api-key"
JUSPAY_MERCHANT_ID = "test-merchant"
JUSPAY_CLIENT_ID = "test-client"
JUSPAY_RESPONSE_KEY = "test-response-key"
JUSPAY_WEBHOOK_USER = "webhook"
JUSPAY_WEBHOOK_PASSWORD = "webhook-password"
