"""The life of a product, as data. `myproject.states.transition` is what changes it."""

from django.db import models

from myproject.states import state_table


class ProductStatus(models.TextChoices):
    """Where a product stands."""

    DRAFT = "draft", "Draft"
    ACTIVE = "active", "Active"
    RETIRED = "retired", "Retired"


PRODUCT = state_table(
    "product",
    {
        ProductStatus.DRAFT: {ProductStatus.ACTIVE, ProductStatus.RETIRED},
        ProductStatus.ACTIVE: {ProductStatus.RETIRED},
        ProductStatus.RETIRED: {ProductStatus.ACTIVE},
    },
)
