"""How ./test brings servers to a machine: what apt is asked, in which order, and that nothing of ours stays behind."""

from __future__ import annotations

import io
import os
import stat
import subprocess
from pathlib import Path

import pytest

from myproject.launch import machine, testing_setup
from myproject.launch.places import Checkout
from myproject.launch.terminal import Terminal

APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND|$*" >> "$APT_CALLS"
test -e "$APT_POLICY" && echo "policy: $(tail -n 1 "$APT_POLICY")" >> "$APT_CALLS"
for refused in $APT_REFUSES; do case " $* " in *" $refused "*) exit 100;; esac; done
exit 0
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the policy file's path, on a machine without servers whose apt-get writes down what it is asked."""
    programs, path = tmp_path / "programs", tmp_path / "policy with a space" / "policy-rc.d"
    programs.mkdir()
    path.parent.mkdir()
    (programs / "apt-get").write_text(APT)
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("APT_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("APT_POLICY", str(path))
    monkeypatch.setenv("APT_REFUSES", "")
    monkeypatch.setattr(testing_setup, "START_NOTHING", path)
    monkeypatch.setattr(testing_setup, "_root_prefix", list)
    servers = [(name, ("no-such-program",), packages) for name, _, packages in testing_setup.SERVERS]
    monkeypatch.setattr(testing_setup, "SERVERS", servers)
    monkeypatch.setattr(machine, "can_build_mysql_driver", lambda: True)
    return path


def install(folder: Path) -> list[str]:
    """Install and return what apt-get was asked, without the options that are the same every time."""
    checkout = Checkout(root=folder, state=folder / "state")
    checkout.state.mkdir()
    testing_setup.install_servers(checkout, Terminal(io.StringIO()))
    calls = folder / "calls"
    same = " ".join(("-q -y", *testing_setup.APT_PATIENCE))
    return [line.replace(f"{same} ", "") for line in calls.read_text().splitlines()] if calls.exists() else []


def test_the_lists_are_fetched_first_nothing_is_asked_and_nothing_is_started(tmp_path: Path, policy: Path) -> None:
    assert install(tmp_path) == [
        "noninteractive|update",
        "policy: exit 101",
        "noninteractive|install --no-install-recommends redis-server mariadb-server rabbitmq-server",
        "policy: exit 101",
    ]
    assert not policy.exists()


def test_a_package_that_is_not_offered_keeps_no_other_away(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APT_REFUSES", "update rabbitmq-server")
    asked = [line.partition("|")[2] for line in install(tmp_path) if not line.startswith("policy")]
    assert asked == [
        "update",
        "install --no-install-recommends redis-server mariadb-server rabbitmq-server",
        "install --no-install-recommends redis-server",
        "install --no-install-recommends mariadb-server",
        "install --no-install-recommends rabbitmq-server",
    ]
    assert not policy.exists()


def test_the_policy_of_the_system_stays_and_one_of_ours_that_was_left_goes(tmp_path: Path, policy: Path) -> None:
    policy.write_text("#!/bin/sh\nexit 0\n")
    with testing_setup._starting_nothing([]):
        pass
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"

    policy.write_text(f"#!/bin/sh\n# {testing_setup.OUR_POLICY}\nexit 101\n")
    with testing_setup._starting_nothing([]):
        assert stat.S_IMODE(policy.stat().st_mode) == 0o755
        assert subprocess.run([str(policy)], check=False).returncode == 101
    assert not policy.exists()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_the_policy_goes_also_when_the_installation_is_broken_off(policy: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure), testing_setup._starting_nothing([]):
        assert policy.exists()
        raise failure
    assert not policy.exists()


def test_a_machine_that_has_everything_or_gives_no_rights_is_left_alone(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing_setup, "_root_prefix", lambda: None)
    assert install(tmp_path) == []
    monkeypatch.setattr(testing_setup, "_root_prefix", list)
    monkeypatch.setattr(testing_setup, "SERVERS", [("sh", ("sh",), ("dash",))])
    (tmp_path / "second").mkdir()
    assert install(tmp_path / "second") == []


@pytest.mark.parametrize(("answer", "prefix"), [(0, ["sudo", "-n"]), (1, None)])
def test_sudo_is_used_only_where_it_asks_nothing(
    answer: int, prefix: list[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text(f'#!/bin/sh\n[ "$1" = -n ] && exit {answer}\nexit 99\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert testing_setup._root_prefix() == prefix


def test_the_headers_are_fetched_while_there_is_no_driver(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing_setup, "SERVERS", [])
    monkeypatch.setattr(machine, "can_build_mysql_driver", lambda: False)
    wanted = "install --no-install-recommends libmariadb-dev pkg-config gcc python3-dev"
    assert f"noninteractive|{wanted}" in install(tmp_path)
