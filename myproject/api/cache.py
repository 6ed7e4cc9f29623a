"""How values are written to the cache: as JSON, because a pickle is code of whoever can write to the cache."""

from __future__ import annotations

import json
from typing import Any


class JSONSerializer:
    """Serialises for Django's Redis cache; integers stay plain so that the server can count with them."""

    def dumps(self, value: Any) -> bytes | int:
        """Return what is stored. Raises TypeError for what JSON does not know."""
        if type(value) is int:
            return value
        return json.dumps(value, separators=(",", ":")).encode()

    def loads(self, data: bytes | int) -> Any:
        """Return what was stored."""
        return data if isinstance(data, int) else json.loads(data)
