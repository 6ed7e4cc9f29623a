"""What the apps show on the home page: each registers a panel, so that the platform need not know the apps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A part of the home page: a template and the function that loads what it shows."""

    name: str
    template: str
    load: Callable[[], dict[str, Any]]


_PANELS: dict[str, Panel] = {}


def register_panel(panel: Panel) -> None:
    """Show `panel` on the home page; called from an AppConfig's `ready`."""
    _PANELS[panel.name] = panel


def registered_panels() -> tuple[Panel, ...]:
    """Return the panels in the order of their names."""
    return tuple(_PANELS[name] for name in sorted(_PANELS))
