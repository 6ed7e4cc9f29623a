"""Endpoints of the catalogue: open to everyone, throttled by the defaults."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request

from catalog.api.filters import ProductFilter
from catalog.api.serializers import CategorySerializer, ProductSerializer
from catalog.models import Category, Product
from catalog.queries import list_categories, list_products


def _sees_hidden(request: Request) -> bool:
    return bool(request.user.is_staff and request.user.has_perm("catalog.view_product"))


class ProductList(ListAPIView[Product]):
    """Products, newest first. Drafts and retired ones are shown to staff only."""

    permission_classes = (AllowAny,)
    serializer_class = ProductSerializer
    filterset_class = ProductFilter

    def get_queryset(self) -> QuerySet[Product]:
        """Return what this caller may see."""
        return list_products(include_hidden=_sees_hidden(self.request))


class ProductDetail(RetrieveAPIView[Product]):
    """One product."""

    permission_classes = (AllowAny,)
    serializer_class = ProductSerializer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Product]:
        """Return what this caller may see."""
        return list_products(include_hidden=_sees_hidden(self.request))


class CategoryList(ListAPIView[Category]):
    """The whole category tree, each category before those below it; some hundred nodes, in one answer."""

    permission_classes = (AllowAny,)
    serializer_class = CategorySerializer
    pagination_class = None
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Category]:
        """Return the tree."""
        return list_categories()
