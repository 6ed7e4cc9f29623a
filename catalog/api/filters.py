"""What a product list can be narrowed by."""

from __future__ import annotations

from collections.abc import Sequence

import django_filters
from django.db.models import QuerySet

from catalog.models import Product
from catalog.queries import in_category, with_tags
from catalog.states import ProductStatus
from myproject.errors import InvalidInput

#: Tags of one request: each is one more condition on the list.
MOST_TAGS = 10


def parse_tags(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return pairs of group and name from texts such as "colour:Navy Blue". Raises InvalidInput."""
    tags: list[tuple[str, str]] = []
    for value in values:
        group, colon, name = value.partition(":")
        if not (group and colon and name):
            raise InvalidInput(f"tag: read {value!r}; allowed is group:name, for example colour:Blue.", field="tag")
        tags.append((group, name))
    if len(tags) > MOST_TAGS:
        raise InvalidInput(f"tag: allowed are {MOST_TAGS} tags.", field="tag")
    return tuple(tags)


class ProductFilter(django_filters.FilterSet):
    """Filters of `GET /api/products`; `tag` may be given several times, and all of them must fit."""

    category = django_filters.CharFilter(method="filter_category", label="Slug; its whole subtree counts.")
    tag = django_filters.CharFilter(method="filter_tags", label="group:name, for example colour:Blue.")
    status = django_filters.ChoiceFilter(choices=ProductStatus.choices, label="Only staff see others than active.")

    class Meta:
        model = Product
        fields = ()

    def filter_category(self, products: QuerySet[Product], name: str, value: str) -> QuerySet[Product]:
        """Narrow to a category and everything below it."""
        return in_category(products, slug=value)

    def filter_tags(self, products: QuerySet[Product], name: str, value: str) -> QuerySet[Product]:
        """Narrow to products that bear every tag asked for."""
        return with_tags(products, tags=parse_tags(self.data.getlist("tag")))
