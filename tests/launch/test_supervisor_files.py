"""The files of supervisor/: the queues of the table, stop waits above its limits, nothing left to chance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from myproject.launch import places
from myproject.launch.environment import DEFAULTS, build_environment, load_secrets
from myproject.launch.machine import user_name
from myproject.launch.programs import consumed_queues, read_programs
from myproject.settings.celery import QUEUES

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "supervisor"
DEVELOPMENT = "development/valkey.conf development/valkey_cart.conf development/sandbox.conf"


def read_example() -> dict[str, str]:
    pairs = re.findall(r"^([A-Z_]+)=(.*)$", (FOLDER / "production.env.example").read_text(), re.MULTILINE)
    return dict(pairs)


def production_programs() -> dict[str, dict[str, str]]:
    return read_programs(FOLDER, "", read_example())


def used_variables(folder: Path) -> set[str]:
    return {name for path in folder.glob("*.conf") for name in re.findall(r"%\(ENV_([A-Z_]+)\)s", path.read_text())}


def test_each_program_consumes_the_queues_that_the_table_gives_it() -> None:
    declared: dict[str, set[str]] = {}
    for queue in QUEUES:
        declared.setdefault(queue.program, set()).add(queue.name)
    assert {name: set(queues) for name, queues in consumed_queues(production_programs()).items()} == declared


def test_a_worker_is_waited_for_longer_than_its_longest_task() -> None:
    programs = production_programs()
    for queue in QUEUES:
        assert int(programs[queue.program]["stopwaitsecs"]) > queue.limits.hard, queue.name


def test_a_worker_reserves_no_more_than_its_most_careful_queue_allows() -> None:
    programs = production_programs()
    for queue in QUEUES:
        found = re.search(r"--prefetch-multiplier=(\d+)", programs[queue.program]["command"])
        assert found is not None
        assert int(found[1]) <= queue.prefetch, queue.name


@pytest.mark.parametrize("name", sorted(production_programs()))
def test_a_stop_reaches_the_program_alone_and_its_group_is_killed_only_after_the_wait(name: str) -> None:
    section = production_programs()[name]
    assert section["stopsignal"] == "TERM"
    assert section["stopasgroup"] == "false"
    assert section["killasgroup"] == "true"
    assert section["autorestart"] == "true"
    assert section["stdout_logfile"].endswith(f"/{name}.log")
    assert section["stdout_logfile_maxbytes"] == "50MB"


def test_there_is_one_beat_and_nothing_of_development_in_production() -> None:
    programs = production_programs()
    assert sorted(programs) == [
        "beat", "flower", "relay", "web", "worker_bulk", "worker_cart", "worker_default", "worker_external",
        "worker_logs", "worker_orders",
    ]  # fmt: skip
    assert [name for name, section in programs.items() if " beat " in section["command"]] == ["beat"]


def test_no_worker_gives_up_its_remote_control() -> None:
    for name, section in production_programs().items():
        assert "disable_remote_control" not in section["command"], name
        assert "without-heartbeat" not in section["command"], name


def test_no_password_stands_on_a_command_line() -> None:
    for path in FOLDER.rglob("*.conf"):
        for secret in ("BASIC_AUTH", "PASSWORD", "SECRET", "REDIS_URL", "DATABASE_URL", "API_KEY", "TOKEN"):
            assert f"%(ENV_{secret}" not in path.read_text()
            assert not re.search(rf"^command=.*{secret}", path.read_text(), re.MULTILINE)


def test_every_variable_is_in_the_example_for_production() -> None:
    example = read_example()
    assert sorted(used_variables(FOLDER) - example.keys()) == []
    assert example["DJANGO_SETTINGS_MODULE"] == "myproject.settings.production"
    assert example["SUPERVISOR_INCLUDE"] == ""


def test_run_sets_every_variable_that_the_files_use(tmp_path: Path) -> None:
    place = places.Place(folder=tmp_path / ".state" / "sites" / "a", orders=tmp_path)
    place.create()
    ports = {"web": 1, "flower": 2, "sandbox": 3, "valkey": 4, "valkey_cart": 5}
    checkout = places.Checkout(root=ROOT, state=tmp_path / ".state")
    built = build_environment(checkout, place, stored=load_secrets(place), ports=ports, host="127.0.0.1")
    checkout.socket_folder().rmdir()
    needed = used_variables(FOLDER) | used_variables(FOLDER / "development")
    assert sorted(needed - built.keys()) == ["VALKEY_SERVER"]  # known once the packages are there


def test_the_queue_names_of_run_are_those_of_the_settings() -> None:
    programs = read_programs(FOLDER, DEVELOPMENT, read_example() | DEFAULTS | dict.fromkeys(
        ("VALKEY_SERVER", "VALKEY_CONFIG", "VALKEY_CART_CONFIG"), "x"
    ))  # fmt: skip
    named = {queue for queues in consumed_queues(programs).values() for queue in queues}
    assert named == {queue.name for queue in QUEUES}


def test_supervisor_itself_reads_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places_of_this_machine = {
        "APP_DIR": str(ROOT),
        "APP_USER": user_name(),
        "LOG_DIR": str(tmp_path),
        "SUPERVISOR_SOCKET": str(tmp_path / "s.sock"),
        "SUPERVISOR_PIDFILE": str(tmp_path / "s.pid"),
        "SUPERVISOR_INCLUDE": DEVELOPMENT,
        "VALKEY_SERVER": "/bin/true",
        "VALKEY_CONFIG": "/dev/null",
        "VALKEY_CART_CONFIG": "/dev/null",
    }
    for name, value in (read_example() | places_of_this_machine).items():
        monkeypatch.setenv(name, value)
    options = ServerOptions()
    options.realize(["-c", str(FOLDER / "supervisord.conf")])
    groups = {group.name: group for group in options.process_group_configs}
    assert sorted(groups) == sorted(read_programs(FOLDER, DEVELOPMENT, read_example() | places_of_this_machine))
    orders = groups["worker_orders"].process_configs[0]
    assert orders.environment["DJANGO_SETTINGS_MODULE"] == "myproject.settings.production"
    assert "orders@%h" in orders.command
    assert groups["sandbox"].process_configs[0].environment["DJANGO_SETTINGS_MODULE"] == "myproject.sandbox.settings"
    starts = sorted(groups.values(), key=lambda group: group.priority)
    assert {group.name for group in starts[:2]} == {"valkey", "valkey_cart"}
    assert options.parse_warnings == []


def test_what_a_program_writes_is_for_its_user_alone() -> None:
    text = (FOLDER / "supervisord.conf").read_text()
    assert re.findall(r"^umask=(.*)$", text, re.MULTILINE) == ["077"]
    assert [name for name, section in production_programs().items() if "umask" in section] == []
