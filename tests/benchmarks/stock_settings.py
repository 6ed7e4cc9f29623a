"""Django settings of the reference: a bare project with the platform's database options and nothing of the platform."""

from __future__ import annotations

import os

import dj_database_url

SECRET_KEY = "a-key-of-the-benchmarks-that-signs-nothing"
INSTALLED_APPS: list[str] = []
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The same session as the platform's (myproject/settings/base.py), so that both arms ask the same of the server.
DATABASES = {
    "default": {
        **dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=60, conn_health_checks=True),
        "OPTIONS": {
            "isolation_level": "read committed",
            "charset": "utf8mb4",
            "init_command": "SET sql_mode='STRICT_ALL_TABLES', innodb_lock_wait_timeout=10",
        },
    }
}
