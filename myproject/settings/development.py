"""A developer's machine and `./run`: embedded servers, the sandbox, helpful errors."""

from .base import *

ENVIRONMENT = "development"
