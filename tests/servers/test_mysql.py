"""Where a MySQL server is found, and what is said where there is none. No test here fetches one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import mysql
from tests.servers.processes import NotAvailable

LISTED = """bookworm-updates main http://mirror.example/debian/
bookworm main http://mirror.example/debian/
bookworm-security main http://mirror.example/debian-security/
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own: no program on its path, nothing unpacked, nothing fetched."""
    monkeypatch.setattr(mysql, "SEARCH", str(tmp_path / "bin"))
    monkeypatch.setattr(mysql, "FOLDER", tmp_path / "state" / "mysql")
    monkeypatch.setattr(mysql, "check_driver", lambda: None)
    monkeypatch.setattr(mysql, "debian_mirror", lambda: pytest.fail("nothing is fetched here"))
    return tmp_path


def program(file: Path, *, says: str) -> Path:
    """Write a program that prints one line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\necho '{says}'\n")
    file.chmod(0o755)
    return file


def unpack(folder: Path) -> list[str]:
    """Make a folder that looks like an unpacked server, whose loader runs what it is given."""
    loader = folder / "usr" / "lib" / "some-linux" / "ld-linux-some.so.2"
    program(loader, says="mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))")
    server = program(folder / "usr" / "sbin" / "mysqld", says="")
    return [str(loader), "--library-path", str(loader.parent), str(server)]


def test_a_server_of_the_machine_is_taken(machine: Path) -> None:
    installed = program(machine / "bin" / "mysqld", says="/usr/sbin/mysqld  Ver 8.4.6 for Linux on x86_64")
    assert mysql.mysql_command() == [str(installed), "--no-defaults"]
    assert mysql.mysql_version() == "8.4.6"


def test_mariadb_by_the_name_of_mysqld_is_not_taken(machine: Path) -> None:
    program(machine / "bin" / "mysqld", says="mysqld  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64")
    expected = unpack(mysql.FOLDER)
    assert mysql.mysql_command()[:4] == expected
    assert mysql.mysql_version() == "9.7.4-2"


def test_what_was_unpacked_is_not_fetched_again_and_is_told_its_place() -> None:
    unpack(mysql.FOLDER)
    own = [argument for argument in mysql.mysql_command() if "=" in argument]
    assert own == [
        f"--lc-messages-dir={mysql.FOLDER}/usr/share/mysql",
        f"--character-sets-dir={mysql.FOLDER}/usr/share/mysql/charsets",
        f"--plugin-dir={mysql.FOLDER}/usr/lib/mysql/plugin",
    ]


def test_a_folder_without_a_server_is_named(machine: Path) -> None:
    (mysql.FOLDER / "usr").mkdir(parents=True)
    with pytest.raises(NotAvailable, match="holds no MySQL server; remove it"):
        mysql.mysql_command()


def test_the_mirror_is_the_one_that_the_machine_reads(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    release = machine / "os-release"
    release.write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    monkeypatch.setattr(mysql, "RELEASE", release)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(mysql, "_run", lambda command: LISTED)
    assert mysql.debian_mirror() == "http://mirror.example/debian/"

    monkeypatch.setattr(mysql, "_run", lambda command: "")
    with pytest.raises(NotAvailable, match="apt has no archive of bookworm"):
        mysql.debian_mirror()


@pytest.mark.parametrize("system", ["ID=fedora\n", "ID=ubuntu\nID_LIKE=debian\n", None])
def test_another_system_is_refused_in_a_sentence(
    machine: Path, monkeypatch: pytest.MonkeyPatch, system: str | None
) -> None:
    monkeypatch.undo()
    release = machine / "os-release"
    if system is not None:
        release.write_text(system)
    monkeypatch.setattr(mysql, "RELEASE", release)
    with pytest.raises(NotAvailable, match="mysqld is not installed, and only on Debian it can be fetched"):
        mysql.debian_mirror()


def test_a_program_that_fails_is_quoted(machine: Path) -> None:
    failing = program(machine / "bin" / "apt-get", says="no such release")
    failing.write_text(f"{failing.read_text()}exit 100\n")
    with pytest.raises(NotAvailable, match=r"could not be fetched: .*apt-get said: no such release"):
        mysql._run([str(failing)])
