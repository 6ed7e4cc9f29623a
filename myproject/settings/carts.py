"""Configuration of the abandoned-cart app: as the main app's, on its own broker. Read by `abandon_cart_app` alone."""

from __future__ import annotations

from typing import Any

from . import celery as main

_OWN = {
    "broker_url": main.ABANDON_CART_BROKER_URL,
    "result_backend": main.ABANDON_CART_BROKER_URL,
    "task_queues": main.declared_queues("fast_queue"),
    "task_default_queue": "fast_queue",
    "task_default_exchange": "fast_queue",
    "task_default_routing_key": "fast_queue",
    "beat_schedule": {},
    "broker_transport_options": {
        "visibility_timeout": main.VISIBILITY_TIMEOUT,
        "priority_steps": list(range(10)),
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
}
_SHARED: dict[str, Any] = {
    name.removeprefix("CELERY_").lower(): value for name, value in vars(main).items() if name.startswith("CELERY_")
}
globals().update(_SHARED | _OWN)
