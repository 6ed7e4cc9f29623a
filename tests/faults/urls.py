"""No pages: Django's checks want a module to look at."""

from __future__ import annotations

urlpatterns: list[object] = []
