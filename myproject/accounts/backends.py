"""Who may sign in with a password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend


class PersonBackend(ModelBackend):
    """Mail address and password, for people. A service account uses its token, even when somebody gave it a password.

    The same question is asked for each request of a browser session, so a session ends with the turn to a service
    account.
    """

    def user_can_authenticate(self, user: Any) -> bool:
        """Tell whether the account may sign in by password or use a session."""
        return super().user_can_authenticate(user) and not getattr(user, "is_service", False)
