"""A TCP link that a test can make fail: cut, reset, gone silent, slow, or losing the answer to a certain request.

It runs in a thread of the test's own process, so it needs no start and cannot be left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

#: What a request looks like to the one who wants its answer lost. Gets what the client sent in one piece.
Matcher = Callable[[bytes], bool]
CHUNK = 65_536
#: Linger for zero seconds: closing sends a reset instead of a farewell.
RESET = struct.pack("ii", 1, 0)


class _Link:
    """One connection of a client, and ours to the server behind."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.silent = False
        self.drop_answer = False

    def end(self, *, reset: bool) -> None:
        for writer in (self.client, self.server):
            connection = writer.get_extra_info("socket")
            if reset and connection is not None:
                with contextlib.suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort() if reset else writer.close()


class Proxy:
    """Forwards a loopback port of its own to another one.

    Example: `with Proxy(broker.port) as link: ...; link.go_silent(); ...; link.heal()`.
    """

    def __init__(self, target: int) -> None:
        """Describe a link to the loopback port `target`; nothing listens before `start`."""
        self.target = target
        self.port = 0
        self._links: set[_Link] = set()
        self._refusing = self._silent = False
        self._latency = 0.0
        self._matcher: Matcher | None = None
        self._drops = 0
        self._dropped = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> Self:
        """Listen. Returns itself."""
        self._thread.start()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = self._run(asyncio.start_server(self._serve, sock=listener))
        return self

    def stop(self) -> None:
        """Close the port and every connection."""
        if not self._thread.is_alive():
            return
        self._call(self._server.close)
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self, *, reset: bool = True) -> int:
        """End every connection, by a reset or by a farewell, and return how many there were. New ones are served."""

        def end() -> int:
            links = list(self._links)
            for link in links:
                link.end(reset=reset)
            self._links.clear()
            return len(links)

        return self._call(end)

    def refuse(self) -> None:
        """End every connection and reset every new one, until `heal`."""
        self._refusing = True
        self.cut()

    def go_silent(self, *, new_as_well: bool = False) -> int:
        """Make every connection half-open: nothing passes any more, and neither side is told.

        They stay so for ever, as after the loss of a router's tables; connections made later pass, unless
        `new_as_well` holds them back until `heal`. Returns how many went silent.
        """
        self._silent = new_as_well

        def silence() -> int:
            for link in self._links:
                link.silent = True
            return len(self._links)

        return self._call(silence)

    def delay(self, seconds: float) -> None:
        """Hold every piece of data back for some time, in both directions, until `heal`."""
        self._latency = seconds

    def drop_answer(self, matcher: Matcher, *, times: int = 1) -> threading.Event:
        """Pass on the next requests that `matcher` accepts, swallow their answers and reset the client.

        The event that is returned is set when the last of them has been dropped.
        """
        self._dropped = threading.Event()
        self._matcher, self._drops = matcher, times
        return self._dropped

    def heal(self) -> None:
        """Serve new connections as if nothing had been. What went silent stays silent."""
        self._refusing = self._silent = False
        self._latency, self._matcher, self._drops = 0.0, None, 0

    def connections(self) -> int:
        """Return how many connections are open, silent ones included."""
        return self._call(lambda: len(self._links))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._refusing:
                raise ConnectionRefusedError
            answers, server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _Link(writer, writer).end(reset=True)
            return
        link = _Link(writer, server)
        link.silent = self._silent
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pump(link, reader, server, answers=False), self._pump(link, answers, writer, answers=True)
            )
        finally:
            self._links.discard(link)

    async def _pump(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        """Carry one direction of one link until it ends."""
        reset = False
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(CHUNK):
                if self._latency:
                    await asyncio.sleep(self._latency)
                if link.silent:
                    continue
                if answers and link.drop_answer:
                    reset = True
                    break
                if not answers:
                    self._note(link, data)
                writer.write(data)
                await writer.drain()
        if not link.silent:
            link.end(reset=reset)
            if reset:
                self._drops -= 1
                if self._drops <= 0:
                    self._dropped.set()

    def _note(self, link: _Link, request: bytes) -> None:
        if self._matcher is not None and self._drops > 0 and self._matcher(request):
            link.drop_answer = True

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _call(self, work: Callable[[], Any]) -> Any:
        async def call() -> Any:
            return work()

        return self._run(call())
