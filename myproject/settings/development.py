"""A developer's machine and `./run`: embedded servers, the sandbox, helpful errors."""

from .base import *  # noqa: F403

ENVIRONMENT = "development"
