"""The catalogue in the admin. Stock and movements are shown, never typed in: a number changes only by a movement."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from treebeard.admin import TreeAdmin
from treebeard.forms import movenodeform_factory

from catalog.actions import (
    change_product_status,
    delete_tags,
    hash_image,
    save_image,
    touch_category,
    touch_product,
    touch_tag,
)
from catalog.models import Category, Price, PriceList, Product, ProductImage, Stock, StockMovement, Tag, Variant
from catalog.states import ProductStatus
from myproject.errors import AppError
from myproject.jobs.sending import enqueue


class ReadOnly(admin.ModelAdmin[Any]):
    """Rows that only actions write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody."""
        return False


@admin.register(Category)
class CategoryAdmin(TreeAdmin):
    """The tree, to be dragged into shape."""

    form = movenodeform_factory(Category, fields=("name", "slug"))
    list_display = ("name", "slug", "depth", "version")
    search_fields = ("name", "slug")

    def save_model(self, request: HttpRequest, obj: Category, form: ModelForm[Category], change: bool) -> None:
        """Save; the products below count as changed, because the category's name is searched."""
        super().save_model(request, obj, form, change)
        touch_category(category_id=obj.pk, now=timezone.now())

    def move_node(self, request: HttpRequest) -> HttpResponse:
        """Move a category that was dragged; the names above its products are searched, so they count as changed."""
        with transaction.atomic():
            answer: HttpResponse = super().move_node(request)
            if answer.status_code == 200:
                touch_category(category_id=int(request.POST["node"]), now=timezone.now())
        return answer

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name what deleting would take along: all that is below, too. Categories that hold products are kept."""
        nodes = [node for top in objs for node in (top, *Category.objects.get_descendants(top))]
        return super().get_deleted_objects(nodes, request)


@admin.register(Tag)
class TagAdmin(admin.ModelAdmin[Tag]):
    """Words that products share."""

    list_display = ("group", "name", "version")
    list_filter = ("group",)
    search_fields = ("name",)

    def save_model(self, request: HttpRequest, obj: Tag, form: ModelForm[Tag], change: bool) -> None:
        """Save; the products with the tag count as changed, because its name is searched."""
        super().save_model(request, obj, form, change)
        touch_tag(tag_id=obj.pk, now=timezone.now())

    def delete_model(self, request: HttpRequest, obj: Tag) -> None:
        """Delete; the products that had the tag count as changed."""
        delete_tags(tag_ids=[obj.pk], now=timezone.now())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Tag]) -> None:
        """Delete the selected tags in the same way."""
        delete_tags(tag_ids=list(queryset.values_list("pk", flat=True)), now=timezone.now())


class VariantInline(admin.TabularInline[Variant, Product]):
    """A product's SKUs."""

    model = Variant
    extra = 0
    can_delete = False


class ImageFormSet(BaseInlineFormSet[ProductImage, Product, ModelForm[ProductImage]]):
    """A product's pictures, of which no two may be the same file."""

    def clean(self) -> None:
        """Refuse a picture that the product has already, whatever its file is called."""
        super().clean()
        seen: set[str] = set()
        for form in self.forms:
            file = form.cleaned_data.get("image") if hasattr(form, "cleaned_data") else None
            if not file or form in self.deleted_forms:
                continue
            digest = hash_image(file) if "image" in form.changed_data else form.instance.content_hash
            if digest in seen:
                raise ValidationError(f"{file.name}: the product has this picture already.")
            seen.add(digest)


class ImageInline(admin.TabularInline[ProductImage, Product]):
    """A product's pictures."""

    model = ProductImage
    formset = ImageFormSet
    extra = 0
    readonly_fields = ("content_hash",)


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin[Product]):
    """Products: edited here, retired instead of deleted."""

    list_display = ("name", "external_id", "source", "category", "status", "version", "updated_at")
    list_filter = ("status", "source", "tags__group")
    list_select_related = ("category",)
    search_fields = ("name", "external_id", "variants__sku")
    search_help_text = "Name, number at the source or SKU"
    autocomplete_fields = ("category", "tags")
    readonly_fields = ("source", "external_id", "status", "version", "content_hash", "created_at", "updated_at")
    inlines = (VariantInline, ImageInline)
    actions = ("activate", "retire")
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Products come from imports, which know their numbers at the source."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Product | None = None) -> bool:
        """Orders point to products: they are retired, not deleted."""
        return False

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save what hangs on the product; pictures with the hash of their content."""
        if formset.model is not ProductImage:
            super().save_formset(request, form, formset, change)
            return
        images = formset.save(commit=False)
        for removed in formset.deleted_objects:
            removed.delete()
        for image in images:
            save_image(image=image)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save what hangs on the product, then count it as changed and have it indexed."""
        super().save_related(request, form, formsets, change)
        touch_product(product_id=form.instance.pk, now=timezone.now())

    @admin.action(description="Show in the shop", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Product]) -> None:
        """Make the selected products active."""
        self._change_status(request, queryset, ProductStatus.ACTIVE)

    @admin.action(description="Retire", permissions=["change"])
    def retire(self, request: HttpRequest, queryset: QuerySet[Product]) -> None:
        """Take the selected products out of the shop."""
        self._change_status(request, queryset, ProductStatus.RETIRED)

    def _change_status(self, request: HttpRequest, queryset: QuerySet[Product], target: str) -> None:
        ids = list(queryset.values_list("pk", flat=True))
        try:
            changed = change_product_status(product_ids=ids, target=target, now=timezone.now())
        except AppError as error:
            self.message_user(request, error.message, messages.ERROR)
            return
        self.message_user(request, f"{changed} products are now {target}.", messages.SUCCESS)


@admin.register(Variant)
class VariantAdmin(admin.ModelAdmin[Variant]):
    """SKUs with their product and stock."""

    list_display = ("sku", "name", "product", "units", "version")
    list_select_related = ("product", "stock")
    search_fields = ("sku", "product__name")
    autocomplete_fields = ("product",)
    readonly_fields = ("version", "created_at", "updated_at")
    show_full_result_count = False

    def has_delete_permission(self, request: HttpRequest, obj: Variant | None = None) -> bool:
        """Orders and movements point to variants."""
        return False

    def save_model(self, request: HttpRequest, obj: Variant, form: ModelForm[Variant], change: bool) -> None:
        """Save; the product counts as changed, because its SKUs are searched."""
        super().save_model(request, obj, form, change)
        touch_product(product_id=obj.product_id, now=timezone.now())

    @admin.display(description="on hand")
    def units(self, variant: Variant) -> int | None:
        """Return the units on hand, or nothing for a variant without stock row."""
        stock = getattr(variant, "stock", None)
        return stock.on_hand if stock else None


@admin.register(PriceList)
class PriceListAdmin(admin.ModelAdmin[PriceList]):
    """Named sets of prices."""

    list_display = ("code", "name", "currency", "is_default", "version")
    search_fields = ("code", "name")


@admin.register(Price)
class PriceAdmin(admin.ModelAdmin[Price]):
    """Prices of variants."""

    list_display = ("variant", "price_list", "amount", "version", "updated_at")
    list_filter = ("price_list",)
    list_select_related = ("variant", "price_list")
    search_fields = ("variant__sku", "variant__product__name")
    autocomplete_fields = ("variant", "price_list")
    show_full_result_count = False


@admin.register(Stock)
class StockAdmin(ReadOnly):
    """Units on hand."""

    list_display = ("variant", "on_hand", "version", "updated_at")
    list_select_related = ("variant",)
    search_fields = ("variant__sku", "variant__product__name")
    actions = ("compare_all",)
    show_full_result_count = False

    @admin.action(description="Compare all stock with its movements (the selection does not matter)")
    def compare_all(self, request: HttpRequest, queryset: QuerySet[Stock]) -> None:
        """Enqueue the comparison; differences are logged and stand in the task's result."""
        enqueue("catalog.tasks.verify_stock")
        self.message_user(request, "The comparison was enqueued.", messages.SUCCESS)


@admin.register(StockMovement)
class StockMovementAdmin(ReadOnly):
    """Why units came and went."""

    list_display = ("operation_key", "sku", "kind", "quantity", "reference", "occurred_at")
    list_filter = ("kind", "occurred_at")
    list_select_related = ("stock__variant",)
    search_fields = ("operation_key", "reference", "stock__variant__sku")
    date_hierarchy = None  # a count per month over all rows would take seconds
    show_full_result_count = False
    ordering = ("-id",)

    @admin.display(description="SKU")
    def sku(self, movement: StockMovement) -> str:
        """Return the SKU whose units moved."""
        return movement.stock.variant.sku
