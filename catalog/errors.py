"""The catalogue's errors: each has a stable code and a sentence for its reader."""

from __future__ import annotations

from collections.abc import Mapping

from myproject.errors import Conflict, InvalidInput, NotFound


class UnknownVariant(NotFound):
    """No variant of that id, or one without a stock row. `variant_ids` names them."""

    code = "unknown_variant"


class InsufficientStock(Conflict):
    """Units were asked for that are not there. `shortages` maps each SKU to its units on hand and asked for.

    The customer reads it: the line has to be made smaller or dropped.
    """

    code = "insufficient_stock"

    def __init__(self, shortages: Mapping[str, tuple[int, int]]) -> None:
        named = ", ".join(
            f"{sku} ({on_hand} on hand, {asked} asked for)" for sku, (on_hand, asked) in shortages.items()
        )
        super().__init__(
            f"Not enough stock of {named}.",
            shortages={sku: {"on_hand": have, "asked": asked} for sku, (have, asked) in shortages.items()},
        )
        self.shortages = dict(shortages)


class OperationKeyReused(Conflict):
    """A movement's key was booked before with another variant or quantity: two business facts share one key."""

    code = "operation_key_reused"


class InvalidMovement(InvalidInput):
    """A movement of zero units, or one key twice in a call."""

    code = "invalid_movement"


class InvalidSpecification(InvalidInput):
    """A SKU or a name that the database cannot hold."""

    code = "invalid_specification"


class PriceListMismatch(Conflict):
    """A price list of that code exists in another currency."""

    code = "price_list_mismatch"


class UnknownPriceList(NotFound):
    """There is no price list of that code."""

    code = "unknown_price_list"


class NoPrice(Conflict):
    """The variant has no price in the list, so it cannot be sold."""

    code = "no_price"
