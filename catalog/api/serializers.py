"""How the catalogue looks outside. Stock is told as yes or no: numbers are the shop's own business."""

from __future__ import annotations

from rest_framework import serializers

from catalog.models import Category, Price, Product, ProductImage, Tag, Variant


class CategoryReferenceSerializer(serializers.ModelSerializer[Category]):
    """A category as a product names it."""

    class Meta:
        model = Category
        fields = ("id", "name", "slug")


class CategorySerializer(serializers.ModelSerializer[Category]):
    """A node of the tree; nodes come in tree order, and `depth` starts at 1."""

    class Meta:
        model = Category
        fields = ("id", "name", "slug", "depth")


class TagSerializer(serializers.ModelSerializer[Tag]):
    """A tag."""

    class Meta:
        model = Tag
        fields = ("group", "name")


class PriceSerializer(serializers.ModelSerializer[Price]):
    """A price: a decimal string of major units."""

    price_list = serializers.CharField(source="price_list.code")
    currency = serializers.CharField(source="price_list.currency")

    class Meta:
        model = Price
        fields = ("price_list", "currency", "amount")


class VariantSerializer(serializers.ModelSerializer[Variant]):
    """A SKU with its prices."""

    in_stock = serializers.SerializerMethodField()
    prices = PriceSerializer(many=True)

    class Meta:
        model = Variant
        fields = ("id", "sku", "name", "in_stock", "prices")

    def get_in_stock(self, variant: Variant) -> bool:
        """Tell whether there is at least one unit."""
        stock = getattr(variant, "stock", None)
        return stock is not None and stock.on_hand > 0


class ImageSerializer(serializers.ModelSerializer[ProductImage]):
    """A picture."""

    class Meta:
        model = ProductImage
        fields = ("image", "alternative_text")


class ProductSerializer(serializers.ModelSerializer[Product]):
    """A product with all that a list or a page shows."""

    category = CategoryReferenceSerializer(allow_null=True)
    tags = TagSerializer(many=True)
    variants = VariantSerializer(many=True)
    images = ImageSerializer(many=True)

    class Meta:
        model = Product
        fields = (
            "id", "name", "slug", "description", "status", "version", "category", "tags", "variants", "images",
        )  # fmt: skip
