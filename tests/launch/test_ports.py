"""Ports: the one used last, else the usual one, else the next free one; held until the program takes it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from myproject.launch import ports
from myproject.launch.problems import Problem
from tests.servers.processes import free_port


@pytest.fixture
def reservations(monkeypatch: pytest.MonkeyPatch) -> Iterator[ports.Reservations]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        first = probe.getsockname()[1]
    monkeypatch.setitem(ports.USUAL_PORTS, "web", first)
    held = ports.Reservations()
    yield held
    held.release_all()


def test_the_usual_port_is_taken_when_it_is_free(reservations: ports.Reservations) -> None:
    assert reservations.choose("web", "127.0.0.1", last=None) == ports.USUAL_PORTS["web"]


def test_a_port_that_somebody_listens_on_is_passed_over(reservations: ports.Reservations) -> None:
    usual = ports.USUAL_PORTS["web"]
    with socket.create_server(("127.0.0.1", usual)):
        chosen = reservations.choose("web", "127.0.0.1", last=None)
    assert usual < chosen <= usual + ports.HOW_FAR


def test_two_checkouts_that_start_together_choose_different_ports(reservations: ports.Reservations) -> None:
    other = ports.Reservations()
    first = reservations.choose("web", "127.0.0.1", last=None)
    second = other.choose("web", "127.0.0.1", last=None)
    other.release_all()
    assert first != second


def test_the_port_of_the_last_time_comes_first(reservations: ports.Reservations) -> None:
    last = free_port()  # beside the usual ones, which other sites on this machine take
    assert reservations.choose("web", "127.0.0.1", last=last) == last


def test_a_released_port_can_be_bound_at_once(reservations: ports.Reservations) -> None:
    port = reservations.choose("web", "127.0.0.1", last=None)
    reservations.release("web")
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-name.invalid"])
def test_a_host_that_is_not_ours_is_told_in_one_line(reservations: ports.Reservations, host: str) -> None:
    with pytest.raises(Problem) as caught:
        reservations.choose("web", host, last=None)
    assert str(caught.value).startswith(f"--host {host} is no address of this machine")
    assert "\n" not in str(caught.value)


def test_wildcards_are_reached_over_loopback_and_ipv6_stands_in_brackets() -> None:
    assert ports.reachable("0.0.0.0") == "127.0.0.1"
    assert ports.in_address(ports.reachable("::")) == "[::1]"
    assert ports.reachable("10.0.0.5") == "10.0.0.5"


def test_stored_ports_are_read_back_without_what_does_not_belong_there() -> None:
    assert ports.ports_of({"ports": {"web": 8003, "flower": "x", "ghost": 1}}) == {"web": 8003}
    assert ports.ports_of({"ports": None}) == {}
