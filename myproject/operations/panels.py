"""What the apps show on the home page: each registers a panel, so that the platform need not know the apps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A part of the home page: a template, what loads its content, and a link (label, name of the address)."""

    name: str
    template: str
    load: Callable[[], dict[str, Any]]
    link: tuple[str, str] | None = None


_PANELS: dict[str, Panel] = {}


def register_panel(panel: Panel) -> None:
    """Show `panel` on the home page; called when an app's `panels` module is found at the start."""
    _PANELS[panel.name] = panel


def registered_panels() -> tuple[Panel, ...]:
    """Return the panels in the order of their names."""
    return tuple(_PANELS[name] for name in sorted(_PANELS))
