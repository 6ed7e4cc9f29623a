"""Writes of the catalogue, one use case per file."""

from catalog.actions.stock import Movement, move_stock
from catalog.actions.variants import VariantSpec, ensure_variants

__all__ = ["Movement", "VariantSpec", "ensure_variants", "move_stock"]
