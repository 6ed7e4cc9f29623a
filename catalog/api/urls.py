"""Addresses of the catalogue, under /api/."""

from __future__ import annotations

from django.urls import path

from catalog.api.views import CategoryList, ProductDetail, ProductList

urlpatterns = [
    path("products", ProductList.as_view(), name="product-list"),
    path("products/<int:pk>", ProductDetail.as_view(), name="product-detail"),
    path("categories", CategoryList.as_view(), name="category-list"),
]
