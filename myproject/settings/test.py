"""The test suite: fast hashes, mail in memory, cache in memory. Databases and brokers come from the environment."""

import os

os.environ.setdefault("EMAIL_URL", "dummy://")

from .base import *  # noqa: E402, F403

ENVIRONMENT = "test"
SECRET_KEY = "a-key-for-tests-that-is-long-enough-to-sign-with-it"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
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
