"""The platform's settings for the fault tests: its own task platform, and one small app of tasks on top of it.

The business apps stay out: their models and imports would only make every restart of a worker slower, and restarts are
what these tests do most.
"""

from __future__ import annotations

import os

from myproject.settings.test import *  # noqa: F403

_BUSINESS = {"catalog", "notifications", "orders", "search", "myproject.operations"}
INSTALLED_APPS = [app for app in INSTALLED_APPS if app not in _BUSINESS] + ["tests.faults.shop"]  # noqa: F405
ROOT_URLCONF = "tests.faults.urls"
if "FAULTS_HEALTH_CHECK" in os.environ:  # seconds: how soon a silent link is noticed
    _every = int(os.environ["FAULTS_HEALTH_CHECK"])
    CELERY_BROKER_TRANSPORT_OPTIONS |= {"health_check_interval": _every, "socket_timeout": 2 * _every}  # noqa: F405
CELERY_BEAT_SCHEDULE = {}  # its tasks belong to the business apps
