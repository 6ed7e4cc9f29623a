"""Free ports: the one used last time, else the usual one, else the next free one; held until its program starts."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping

from .problems import Problem

# program: the port that is tried first. Valkey stays off 6379, where a Redis of the machine usually stands.
USUAL_PORTS = {"web": 8000, "flower": 5555, "sandbox": 8010, "valkey": 6390, "valkey_cart": 6391}
HOW_FAR = 200  # ports tried above the first


class Reservations:
    """Ports that are taken by listening on them, so that two checkouts that start together never choose the same."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._held: dict[str, socket.socket] = {}

    def choose(self, program: str, host: str, *, last: int | None) -> int:
        """Return a port of `host` for `program` and hold it. Raises Problem when none is free or `host` is not ours."""
        usual = USUAL_PORTS[program]
        wanted: list[int] = [last or usual, *range(usual, usual + HOW_FAR)]
        for port in dict.fromkeys(wanted):
            holder = listen(host, port)
            if holder is not None:
                self._held[program] = holder
                return port
        raise Problem(f"no port from {usual} to {usual + HOW_FAR} is free on {host}", "end a program that holds one")

    def release(self, program: str) -> None:
        """Let go of the port of `program`, just before it starts."""
        holder = self._held.pop(program, None)
        if holder is not None:
            holder.close()

    def release_all(self) -> None:
        """Let go of every port."""
        for program in list(self._held):
            self.release(program)


def listen(host: str, port: int) -> socket.socket | None:
    """Return a socket that listens on `host` and `port`, or None when the port is taken. Raises Problem on a bad host.

    SO_REUSEADDR, as the servers themselves set it: a port whose last connections are still being forgotten by the
    kernel counts as free, while one that somebody listens on does not.
    """
    family, address = resolve(host, port)
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(address)
        holder.listen(1)
    except PermissionError:
        holder.close()
        return None
    except OSError as error:
        holder.close()
        if error.errno in _NOT_OURS:
            raise _bad_host(host, error.strerror) from None
        return None
    return holder


def check_host(host: str) -> None:
    """Raise Problem when nothing can listen on `host` here."""
    holder = listen(host, 0)
    if holder is not None:
        holder.close()


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """Return family and address of `host`. Raises Problem when the name means nothing here."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise _bad_host(host, error.strerror) from None
    return family, address


def _bad_host(host: str, reason: str | None) -> Problem:
    return Problem(f"--host {host} is no address of this machine ({reason})", "try 127.0.0.1 or 0.0.0.0")


def _address_errors() -> frozenset[int]:
    import errno

    return frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


_NOT_OURS = _address_errors()
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


def reachable(host: str) -> str:
    """Return the address under which a server that listens on `host` is reached from this machine."""
    return WILDCARDS.get(host, host)


def in_address(host: str) -> str:
    """Return `host` as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def own_addresses() -> list[str]:
    """Return the names and IPv4 addresses under which other machines may call this one."""
    found = [socket.gethostname(), socket.getfqdn()]
    with contextlib.suppress(OSError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)]
    found += [address for address in map(_interface_address, _interfaces()) if address]
    return list(dict.fromkeys(found))


def _interfaces() -> list[str]:
    try:
        return [name for _, name in socket.if_nameindex()]
    except OSError:
        return []


def _interface_address(interface: str) -> str:
    """Return the IPv4 address of a network interface, or nothing: asked from Linux by SIOCGIFADDR."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), 0x8915, struct.pack("256s", interface.encode()[:15]))
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])


def ports_of(remembered: Mapping[str, object]) -> dict[str, int]:
    """Return the ports that were used last time, from the site's stored environment."""
    stored = remembered.get("ports")
    if not isinstance(stored, dict):
        return {}
    return {name: port for name, port in stored.items() if name in USUAL_PORTS and isinstance(port, int)}
