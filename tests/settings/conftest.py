"""Fixtures of the settings' tests."""

from tests.settings.starting import reader

__all__ = ("reader",)
