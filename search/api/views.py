"""The search endpoint: one query, one page."""

from __future__ import annotations

from urllib.parse import urlencode

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog.api.filters import parse_tags
from catalog.api.serializers import ProductSerializer
from myproject.errors import InvalidInput
from search.backends import Filters
from search.queries import find_products

PAGE, LARGEST_PAGE = 50, 200


class SearchResultsSerializer(serializers.Serializer[None]):
    """One page of results; `next` is the address of the next page, null on the last."""

    next = serializers.URLField(allow_null=True)
    results = ProductSerializer(many=True)


class SearchView(APIView):
    """Products that have, for each word asked for, a word beginning with it."""

    permission_classes = (AllowAny,)

    @extend_schema(
        operation_id="search_products",
        parameters=[
            OpenApiParameter("q", OpenApiTypes.STR, required=True, description="Words: brand, colour, article, SKU."),
            OpenApiParameter("category", OpenApiTypes.STR, description="Slug; its whole subtree counts."),
            OpenApiParameter("tag", OpenApiTypes.STR, many=True, description="group:name, for example colour:Blue."),
            OpenApiParameter("cursor", OpenApiTypes.STR, description="From `next`."),
            OpenApiParameter("page_size", OpenApiTypes.INT, description=f"1 to {LARGEST_PAGE}, default {PAGE}."),
        ],
        responses=SearchResultsSerializer,
    )
    def get(self, request: Request) -> Response:
        """Search the catalogue's active products, best match first."""
        asked = request.query_params
        results = find_products(
            text=asked.get("q", ""),
            filters=Filters(category=asked.get("category", ""), tags=parse_tags(asked.getlist("tag"))),
            cursor=asked.get("cursor", ""),
            limit=_page_size(asked.get("page_size", "")),
        )
        address = None
        if results.next_cursor:
            pairs = [(name, value) for name, values in asked.lists() for value in values if name != "cursor"]
            address = request.build_absolute_uri(f"?{urlencode([*pairs, ('cursor', results.next_cursor)])}")
        return Response({"next": address, "results": ProductSerializer(results.products, many=True).data})


def _page_size(text: str) -> int:
    if not text:
        return PAGE
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LARGEST_PAGE):
        raise InvalidInput(f"page_size: read {text[:20]!r}; allowed is 1 to {LARGEST_PAGE}.", field="page_size")
    return int(text)
