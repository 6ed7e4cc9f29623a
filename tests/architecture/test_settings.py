"""Celery ignores a setting that it does not know, so a misspelt one is found here."""

from __future__ import annotations

import pytest
from celery.app.defaults import NAMESPACES, flatten
from django.conf import settings

from myproject.settings import carts
from myproject.settings import celery as celery_settings

KNOWN = {pair[0] for pair in flatten(NAMESPACES)}
# Settings of other packages and of our own that carry Celery's prefix, each with its reader.
OTHERS: dict[str, str] = {}


def test_every_celery_setting_is_known_to_celery() -> None:
    names = {name for name in dir(settings) if name.startswith("CELERY_")}
    assert names >= {"CELERY_BROKER_URL", "CELERY_TASK_QUEUES"}
    assert {name for name in names if name.removeprefix("CELERY_").lower() not in KNOWN} == set(OTHERS)


def test_every_setting_of_the_cart_app_is_known_to_celery() -> None:
    names = {name for name in vars(carts) if name.islower() and not name.startswith("_")}
    own = names - {"main", "annotations"}
    assert own >= {"broker_url", "task_queues"}
    assert own - KNOWN == set()


@pytest.mark.parametrize("name", ["CELERY_TASK_ROUTES", "CELERY_TASK_QUEUES", "CELERY_BEAT_SCHEDULE"])
def test_tables_stand_in_one_module(name: str) -> None:
    assert getattr(settings, name) is getattr(celery_settings, name)
