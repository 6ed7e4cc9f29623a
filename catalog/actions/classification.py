"""The categories and tags of a feed: made once, found again by address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from catalog.actions.slugs import category_slug
from catalog.feeds.fashion import FeedRow
from catalog.models import Category, Product, Tag

#: Groups of tags that the feed owns; tags of other groups, put on by people, are left alone.
FEED_GROUPS = ("gender", "colour", "season", "year", "usage")

#: Rows of one INSERT into the table between products and tags.
BATCH = 5_000

ProductTag = Product.tags.through


class Classification:
    """Knows what one import has seen, so that 44,446 rows ask for 220 categories once."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.categories_made = 0
        self.tags_made = 0
        self._categories: dict[str, int] = {}
        self._tags: dict[tuple[str, str], int] = {}

    def ensure(self, rows: Sequence[FeedRow]) -> tuple[dict[tuple[str, ...], int], dict[tuple[str, str], int]]:
        """Make the categories and tags of `rows` that are new; return all ids by path and by (group, name)."""
        paths = {row.category for row in rows}
        category_ids: dict[tuple[str, ...], int] = {path: self._category(path) for path in sorted(paths)}
        self._ensure_tags({tag for row in rows for tag in row.tags})
        return category_ids, self._tags

    def _category(self, path: tuple[str, ...]) -> int:
        """Return the id of the category at `path`, making what is missing from the root down.

        Categories are found by slug, so one that was renamed in the admin is not made a second time.
        """
        if not self._categories:
            self._categories = dict(Category.objects.values_list("slug", "pk"))
        slug = category_slug(path)
        if slug not in self._categories:
            if len(path) == 1:
                node = Category.objects.add_root({"name": path[0], "slug": slug})
            else:
                parent = Category.objects.get(pk=self._category(path[:-1]))
                node = Category.objects.add_child(parent, {"name": path[-1], "slug": slug})
            self._categories[slug] = node.pk
            self.categories_made += 1
        return self._categories[slug]

    def _ensure_tags(self, wanted: set[tuple[str, str]]) -> None:
        if not self._tags:
            self._tags = _tag_ids()
        missing = sorted(wanted - self._tags.keys())
        if missing:
            Tag.objects.bulk_create((Tag(group=group, name=name) for group, name in missing), ignore_conflicts=True)
            self._tags = _tag_ids()
            self.tags_made += len(missing)

    def tag_products(self, fresh: Mapping[int, Sequence[int]], stale: Mapping[int, Sequence[int]]) -> None:
        """Tag new products (by id); replace the feed's tags of changed ones."""
        if stale:
            ProductTag.objects.filter(product_id__in=list(stale), tag__group__in=FEED_GROUPS).delete()
        rows = [
            ProductTag(product_id=product_id, tag_id=tag_id)
            for product_id, tag_ids in (*fresh.items(), *stale.items())
            for tag_id in tag_ids
        ]
        ProductTag.objects.bulk_create(rows, batch_size=BATCH)


def _tag_ids() -> dict[tuple[str, str], int]:
    return {(group, name): pk for group, name, pk in Tag.objects.values_list("group", "name", "pk")}
