"""The state folder: private, short sockets, one folder per content, one command at a time."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from myproject.launch import places
from myproject.launch.problems import Problem
from orders.replay.reader import HEADER as REPLAYED_COLUMNS
from orders.replay.reader import read_file

HEADER = b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
# No time in it: it is part of the names of tests, which must be the same in every process.
PACKED = gzip.compress(HEADER + b"1,2,3,4,5,6,7,8\n" * 50, mtime=0)


def make_checkout(root: Path) -> places.Checkout:
    (root / ".state").mkdir(parents=True)
    return places.Checkout(root=root, state=root / ".state")


def test_a_socket_stays_short_in_a_deep_checkout(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a folder with a rather long name"] * 8)
    checkout = places.Checkout(root=deep, state=deep / ".state")
    folder = checkout.socket_folder()
    assert len(os.fsencode(folder / "supervisor.sock")) < 104
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()


def test_two_checkouts_have_two_socket_folders() -> None:
    one, two = (places.Checkout(root=Path(name), state=Path(name) / ".state") for name in ("/a", "/b"))
    assert one.mark != two.mark


def test_the_runtime_folder_is_used_when_it_is_private_and_short(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    if len(str(runtime)) < 55:
        assert places.find_socket_folder("abcdefabcdef", runtime=str(runtime)) == runtime / "myproject" / "abcdefabcdef"
    runtime.chmod(0o755)
    found = places.find_socket_folder("abcdefabcdef", runtime=str(runtime))
    assert found.parent == Path(f"/tmp/myproject-{os.getuid()}")
    found.rmdir()


def test_a_runtime_folder_that_is_too_deep_is_passed_over(tmp_path: Path) -> None:
    runtime = tmp_path.joinpath(*["deep-enough-to-matter"] * 5)
    runtime.mkdir(parents=True, mode=0o700)
    found = places.find_socket_folder("abcdefabcdee", runtime=str(runtime))
    assert found.parent == Path(f"/tmp/myproject-{os.getuid()}")
    found.rmdir()


def test_a_link_or_an_open_folder_is_not_private(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(real)
    assert places.is_private(real)
    assert not places.is_private(link)
    assert not places.is_private(tmp_path / "absent")
    real.chmod(0o770)
    assert not places.is_private(real)


def test_one_content_has_one_place_and_another_content_another(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "clone")
    plain, packed, other = (tmp_path / name for name in ("a.csv", "b.csv.gz", "c.csv"))
    plain.write_bytes(HEADER + b"1\n")
    packed.write_bytes(gzip.compress(HEADER + b"1\n"))
    other.write_bytes(HEADER + b"2\n")
    found = [places.find_place(checkout, path) for path in (plain, packed, other)]
    assert found[0].folder == found[1].folder
    assert found[0].folder != found[2].folder
    assert found[0].folder.parent == checkout.state / "sites"


def test_another_database_has_a_place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = make_checkout(tmp_path / "clone")
    orders = tmp_path / "a.csv"
    orders.write_bytes(HEADER + b"1\n")
    folders = []
    for url in ("", "mysql://root@127.0.0.1:3306/a", "mysql://root@127.0.0.1:3306/b"):
        monkeypatch.setenv("DATABASE_URL", url)
        folders.append(places.find_place(checkout, orders).folder)
    assert len(set(folders)) == 3


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08cut off", "cannot be read"),
        (PACKED[:-20], "cannot be read"),
        (PACKED[:12] + b"\xff" * 20 + PACKED[32:], "cannot be read (it is damaged)"),
        (HEADER.replace(b",Country", b"") + b"1\n", "does not name Country"),
        (gzip.compress(b"a;b;c\n1;2;3\n", mtime=0), "does not name InvoiceNo, StockCode"),
        (b"1,2,3,4,5,6,7,8\n" + HEADER, "does not name InvoiceNo"),
        (b"StockCode,InvoiceNo" + HEADER[19:], "has other columns or another order"),
    ],
)
def test_a_useless_orders_file_is_told_in_one_line(tmp_path: Path, content: bytes | None, line: str) -> None:
    path = tmp_path / "orders.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Problem) as caught:
        places.find_place(make_checkout(tmp_path / "clone"), path)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.status == 2


@pytest.mark.parametrize(
    "first", [HEADER, HEADER.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + HEADER, b'"InvoiceNo" , ' + HEADER[10:]]
)
def test_a_first_line_that_the_replay_takes_is_taken(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(first + b"536365,A,MUG,1,2010-12-01 08:26:00,1.00,17850.0,United Kingdom\n")
    assert read_file(path).lines == 1
    assert places.find_place(make_checkout(tmp_path / "clone"), path).orders == path


def test_the_launcher_and_the_replay_know_the_same_columns() -> None:
    assert places.COLUMNS == REPLAYED_COLUMNS
    shipped = places.Checkout(root=Path(__file__).resolve().parents[2], state=Path("/nowhere"))
    assert places.find_place(shipped, None).orders.name == places.SHIPPED_ORDERS.name


def test_stored_objects_are_for_the_owner_only_and_a_cut_off_file_counts_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "environment.json"
    places.write_json(path, {"a": 1})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert places.read_json(path) == {"a": 1}
    path.write_text('{"a": ')
    assert places.read_json(path) == {}
    places.write_json(path, {"a": 2})
    assert places.read_json(path) == {"a": 2}
    assert [entry.name for entry in tmp_path.iterdir()] == ["environment.json"]


def test_a_second_command_says_who_is_at_work_and_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path)
    script = (
        "import fcntl, os, sys, time\n"
        "file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(f'{os.getpid()}\\n'); file.flush(); print('held', flush=True); time.sleep(60)\n"
    )
    lock = str(checkout.state / "run.lock")
    with subprocess.Popen([sys.executable, "-c", script, lock], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(Problem) as caught, places.only_one(checkout):
            pytest.fail("two commands at once")
        holder.kill()
    assert str(caught.value).startswith(f"another ./run (process {holder.pid}) is at work in this checkout")
    with places.only_one(checkout):
        assert Path(lock).read_text() == f"{os.getpid()}\n"
    assert Path(lock).read_text() == ""


def test_state_dir_moves_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "elsewhere"))
    assert places.find_checkout(tmp_path).state == tmp_path / "elsewhere"
    monkeypatch.delenv("STATE_DIR")
    assert places.find_checkout(tmp_path).state == tmp_path / ".state"
