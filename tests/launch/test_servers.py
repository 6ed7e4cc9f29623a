"""The embedded Valkey as ./run configures it, spoken to without any package."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from collections.abc import Iterator

import pytest

from myproject.launch import places, servers
from tests.servers.processes import wait_until

pytestmark = pytest.mark.server

PASSWORD = "a-password-with-_-and-digits-42"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("state with a space")
    checkout = places.Checkout(root=folder, state=folder)
    checkout.venv.symlink_to(sys.prefix)
    place = places.Place(folder=folder / "site", orders=folder)
    place.create()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    servers.write_valkey_configuration(place, "valkey", port=port, password=PASSWORD)
    configuration = place.folder / "valkey" / "valkey.conf"
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600
    command = [str(servers.find_valkey_server(checkout)), str(configuration)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        address = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
        wait_until(lambda: servers.is_answering(address), timeout=60, what="an answer", pause=0.02)
        yield address
        server.terminate()


def test_it_keeps_what_it_is_given_and_throws_nothing_away(url: str) -> None:
    info = servers.ask(url, [["SET", "a", "1"], ["GET", "a"]])
    assert info[0] == "OK"
    with pytest.raises(servers.ServerError, match="unknown command"):
        servers.ask(url, [["NOSUCHCOMMAND"]])


def test_nobody_enters_without_the_password(url: str) -> None:
    assert not servers.is_answering(url.replace(PASSWORD, "wrong"))
    assert not servers.is_answering(url.replace(f":{PASSWORD}@", ""))


def test_a_queue_is_as_deep_as_all_its_priorities_together(url: str) -> None:
    servers.ask(url, [["LPUSH", "orders", "a", "b"], ["LPUSH", "orders\x06\x167", "c"], ["LPUSH", "other", "d"]])
    assert servers.queue_depths(url, ["orders", "empty"]) == {"orders": 3, "empty": 0}


def test_a_server_that_is_not_there_answers_nothing() -> None:
    assert not servers.is_answering("redis://127.0.0.1:1/0")
    assert not servers.is_answering("rediss://127.0.0.1:1/0")
