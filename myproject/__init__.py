"""The platform: settings, task platform, identity, API ground rules. Imports no app of the shop."""

from .celery import app as celery_app

__all__ = ("celery_app",)
