"""The catalogue's rows. Everything that other stores mirror carries a version."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from treebeard.mp_tree import MP_Node, MP_NodeManager

from catalog.states import ProductStatus
from myproject.append_only import AppendOnlyModel
from myproject.constraints import currency_code, not_empty
from myproject.fields import CodeField, TimestampedModel, VersionedModel


class Category(MP_Node, VersionedModel):
    """One node of the category tree (materialised path, so a subtree is one range query)."""

    name = models.CharField(max_length=100)
    slug = models.SlugField(
        max_length=191, unique=True, help_text="The whole path, for example apparel--topwear--shirts."
    )
    node_order_by: ClassVar[list[str]] = ["name"]

    objects: ClassVar[MP_NodeManager] = MP_NodeManager()

    class Meta:
        verbose_name_plural = "categories"

    def __str__(self) -> str:
        return self.name


class Tag(VersionedModel):
    """A word that products share, within a group such as colour, season or usage."""

    group = models.CharField(max_length=32)
    name = CodeField(max_length=64)  # "Tan" and "tan" of two files stay two on every database

    class Meta:
        constraints = (models.UniqueConstraint(fields=("group", "name"), name="tag_group_name"),)
        ordering = ("group", "name")

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


class Product(VersionedModel):
    """What a shopper sees on one page. `source` and `external_id` say where it was imported from."""

    source = CodeField(max_length=32)
    external_id = CodeField(max_length=64)
    name = models.CharField(max_length=255)
    slug = models.SlugField(max_length=191, unique=True)
    description = models.TextField(blank=True)
    category = models.ForeignKey(Category, null=True, blank=True, on_delete=models.PROTECT, related_name="products")
    tags = models.ManyToManyField(Tag, blank=True, related_name="products")
    status = models.CharField(max_length=16, choices=ProductStatus.choices, default=ProductStatus.ACTIVE)
    attributes = models.JSONField(default=dict, blank=True)
    content_hash = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Of the source's row as it was imported last."
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("source", "external_id"), name="product_source_external"),
            models.CheckConstraint(condition=~Q(name=""), name="product_has_name"),
            not_empty("product_has_number", "source", "external_id"),
            models.CheckConstraint(condition=Q(status__in=ProductStatus.values), name="product_status_known"),
        )
        indexes = (models.Index(fields=("status", "id"), name="product_status"),)
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name


class Variant(VersionedModel):
    """What is sold and counted: one SKU. SKUs compare byte for byte; 69 of the retailer's differ only in case."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="variants")
    sku = CodeField(max_length=64, unique=True)
    name = models.CharField(max_length=100, blank=True)

    class Meta:
        constraints = (not_empty("variant_has_sku", "sku"),)
        ordering = ("id",)

    def __str__(self) -> str:
        return self.sku


class PriceList(VersionedModel):
    """A named set of prices in one currency.

    `is_default` is true for one list and empty for the others: MySQL has no partial unique index, but leaves empty
    values out of a unique one.
    """

    code = models.SlugField(max_length=32, unique=True)
    name = models.CharField(max_length=100)
    currency = CodeField(max_length=3)
    is_default = models.BooleanField(null=True, blank=True, unique=True, choices=((True, "The default list"),))

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(is_default=True) | Q(is_default__isnull=True), name="price_list_default_or_empty"
            ),
            currency_code("price_list_currency"),
        )
        ordering = ("code",)

    def __str__(self) -> str:
        return self.code


class Price(VersionedModel):
    """The price of one variant in one list, exact to four decimals."""

    price_list = models.ForeignKey(PriceList, on_delete=models.CASCADE, related_name="prices")
    variant = models.ForeignKey(Variant, on_delete=models.CASCADE, related_name="prices")
    amount = models.DecimalField(max_digits=12, decimal_places=4, help_text="Major units, for example 12.5000.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("price_list", "variant"), name="price_list_variant"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="price_not_negative"),
        )

    def __str__(self) -> str:
        return f"{self.variant_id}: {self.amount}"


class Stock(VersionedModel):
    """Units on hand of one variant. The number changes only together with a movement (`catalog.actions.move_stock`).

    The variant is the primary key: a lock on many rows then follows one index, in one order, whoever takes it.
    """

    variant = models.OneToOneField(Variant, primary_key=True, on_delete=models.CASCADE, related_name="stock")
    on_hand = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(on_hand__gte=0), name="stock_not_negative"),)
        verbose_name_plural = "stock"

    def __str__(self) -> str:
        return f"{self.variant_id}: {self.on_hand}"


class MovementKind(models.TextChoices):
    """Why units came or went."""

    RECEIPT = "receipt", "Receipt"
    SALE = "sale", "Sale"
    CANCELLATION = "cancellation", "Cancellation"
    WRITE_OFF = "write_off", "Write-off"
    CORRECTION = "correction", "Correction"


class StockMovement(AppendOnlyModel):
    """Units that came (positive) or went (negative); never changed or deleted. `operation_key` makes it happen once."""

    stock = models.ForeignKey(Stock, on_delete=models.PROTECT, related_name="movements")
    kind = models.CharField(max_length=16, choices=MovementKind.choices)
    quantity = models.BigIntegerField()
    operation_key = CodeField(max_length=128, unique=True, help_text="From the business fact: order:12:line:3.")
    reference = models.CharField(max_length=64, blank=True, help_text="Order, cancellation or batch number.")
    occurred_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(condition=~Q(quantity=0), name="movement_not_zero"),
            models.CheckConstraint(condition=Q(kind__in=MovementKind.values), name="movement_kind_known"),
            not_empty("movement_has_key", "operation_key"),
        )
        indexes = (models.Index(fields=("stock", "id"), name="movement_stock"),)

    def __str__(self) -> str:
        return self.operation_key


class ProductImage(TimestampedModel):
    """A picture of a product, in order; the file's content hash keeps one picture once."""

    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="images")
    image = models.FileField(upload_to="products/")
    alternative_text = models.CharField(max_length=191, blank=True)
    position = models.PositiveSmallIntegerField(default=0)
    content_hash = models.CharField(max_length=64)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("product", "content_hash"), name="image_once_per_product"),
            not_empty("image_has_hash", "content_hash"),
        )
        ordering = ("product", "position")

    def __str__(self) -> str:
        return self.image.name or ""
