"""Serving: gunicorn as a library, one process with threads, because the background lives in that process too."""

from __future__ import annotations

from typing import Any

from django.core.wsgi import get_wsgi_application
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from .background.dispatcher import Dispatcher, start_dispatcher
from .configuration import Configuration

KEEP_ALIVE = (
    75  # seconds; longer than any client of ours keeps an idle connection, so that ours is never the one closed
)
GRACE = 5  # seconds for requests in flight when told to stop; a timeout fault that holds longer is cut off


class Server(BaseApplication):  # type: ignore[misc]
    """The gunicorn application of the stand-in."""

    def __init__(self, config: Configuration) -> None:
        self._config = config
        self._dispatcher: Dispatcher | None = None
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options; no file and no command line of its own is read."""
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        options = {
            "bind": f"{host}:{self._config.port}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": self._config.threads,
            "keepalive": KEEP_ALIVE,
            "graceful_timeout": GRACE,
            "timeout": 60,
            "loglevel": "warning",
            "proc_name": "sandbox",
            "control_socket_disable": True,  # its default path is one per user, and two stand-ins would share it
            "when_ready": self._announce,
            "post_worker_init": self._start_background,
            "worker_exit": self._stop_background,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the WSGI application."""
        return get_wsgi_application()

    def _announce(self, server: Any) -> None:
        host, port = server.LISTENERS[0].sock.getsockname()[:2]
        print(f"sandbox: listening on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)

    def _start_background(self, worker: Any) -> None:
        self._dispatcher = start_dispatcher()

    def _stop_background(self, server: Any, worker: Any) -> None:
        if self._dispatcher is not None:
            self._dispatcher.stop(timeout=GRACE)
