"""Ground rules of the HTTP API: problem details, idempotency keys, pages, throttles, task status."""
