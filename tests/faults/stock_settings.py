"""Django as a site with stock Celery has it: no task platform. For the comparison in docs/faults.md.

Nothing of `myproject` may be imported here: it puts its own transport in the place of kombu's.
"""

from __future__ import annotations

import os
from typing import Any

import dj_database_url

SECRET_KEY = "a-key-for-tests-that-is-long-enough-to-sign-with-it"
INSTALLED_APPS = ["tests.faults.shop"]
_database: dict[str, Any] = dict(dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=60))
_database["OPTIONS"] = (
    {"isolation_level": "read committed", "charset": "utf8mb4"}
    if _database["ENGINE"].endswith("mysql")
    else {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL"}
)
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
