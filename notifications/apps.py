"""Django's entry for the app."""

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    """Messages to customers."""

    name = "notifications"
