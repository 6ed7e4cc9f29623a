"""How often a person may ask. Programs (service accounts) are not throttled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle

if TYPE_CHECKING:  # the views import their throttles while they are being imported themselves
    from rest_framework.views import APIView

logger = structlog.get_logger(__name__)


class _OpenOnFailure:
    """Lets requests pass while the cache is down: a shop that sells without throttles beats one that does not sell."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Tell whether the request may pass."""
        try:
            return bool(super().allow_request(request, view))  # type: ignore[misc]
        except RedisError as error:
            logger.warning("throttle is open, the cache is down", error=type(error).__name__)
            return True


class UserThrottle(_OpenOnFailure, UserRateThrottle):
    """Per signed-in user."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Tell whether the request may pass."""
        return getattr(request.user, "is_service", False) or super().allow_request(request, view)


class AnonymousThrottle(_OpenOnFailure, AnonRateThrottle):
    """Per address of those who are not signed in."""


class CredentialsThrottle(_OpenOnFailure, AnonRateThrottle):
    """Per address, for signing in and signing up together: guessing passwords and making accounts are slow."""

    scope = "credentials"
