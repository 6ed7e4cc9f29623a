"""The life of an index, as data. `myproject.states.transition` is what changes it."""

from django.db import models

from myproject.states import state_table


class IndexStatus(models.TextChoices):
    """How much of the catalogue an index covers."""

    EMPTY = "empty", "Empty"
    BUILDING = "building", "Being built"
    READY = "ready", "Ready"


INDEX = state_table(
    "search index",
    {
        IndexStatus.EMPTY: {IndexStatus.BUILDING},
        # A build that was killed is begun again from the same state.
        IndexStatus.BUILDING: {IndexStatus.BUILDING, IndexStatus.READY},
        IndexStatus.READY: {IndexStatus.BUILDING},
    },
)
