"""Writes of the catalogue, one use case per file."""

from catalog.actions.images import hash_image, save_image
from catalog.actions.imports import ImportReport, import_products
from catalog.actions.prices import ensure_price_list, set_prices
from catalog.actions.products import change_product_status, delete_tags, touch_category, touch_product, touch_tag
from catalog.actions.stock import Movement, move_stock
from catalog.actions.variants import VariantSpec, ensure_variants
from catalog.actions.verification import verify_stock

__all__ = [
    "ImportReport",
    "Movement",
    "VariantSpec",
    "change_product_status",
    "delete_tags",
    "ensure_price_list",
    "ensure_variants",
    "hash_image",
    "import_products",
    "move_stock",
    "save_image",
    "set_prices",
    "touch_category",
    "touch_product",
    "touch_tag",
    "verify_stock",
]
