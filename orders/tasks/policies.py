"""What the tasks of orders declare about calls of the payment provider."""

from __future__ import annotations

from typing import Any

#: The body calls the provider, outside of any transaction. A run of which nobody knows how it ended is begun again:
#: look-ups change nothing, and a refund goes under a request id that the provider takes once, after a look-up.
PROVIDER: dict[str, Any] = {"mode": "lease", "on_unknown": "resend"}
