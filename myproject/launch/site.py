"""A site from nothing to healthy and back: the order of the steps, and what is kept between two of them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import health, machine
from .environment import (
    LAUNCHED_MARK,
    build_environment,
    fingerprint,
    load_secrets,
    remember_ports,
)
from .places import SHIPPED_CATALOGUE, Checkout, Place, is_private, read_json, write_json
from .ports import USUAL_PORTS, Reservations, ports_of
from .problems import Problem
from .programs import STORES, Supervisor, end_leftovers, launch_supervisor
from .servers import find_valkey_server, write_valkey_configuration
from .terminal import Terminal, run_program

CODE = ("manage.py", "myproject", "orders", "catalog", "notifications", "search", "supervisor")
CODE_SUFFIXES = {".py", ".html", ".txt", ".conf", ".css", ".js", ".svg", ".gz"}


class Site:
    """The site of one orders file. `started_here` tells whether this process brought it up and must clear it away."""

    def __init__(self, checkout: Checkout, place: Place, terminal: Terminal, *, host: str) -> None:
        """Know the places; nothing is started yet."""
        self.checkout, self.place, self.terminal, self.host = checkout, place, terminal, host
        self.environment: dict[str, str] = {}
        self.started_here = False

    def bring_up(self) -> None:
        """Start the site, or go on with the one that runs when nothing changed. Raises Problem."""
        self.place.create()
        stored = load_secrets(self.place)
        code = fingerprint_code(self.checkout.root)
        record = read_json(self.checkout.current)
        supervisor = find_supervisor(record)
        if supervisor.is_up():
            ports = record.get("ports")
            if isinstance(ports, dict) and record.get("folder") == str(self.place.folder):
                self.environment = self._build(stored, ports)
                if record.get("fingerprint") == fingerprint(self.environment) and record.get("code") == code:
                    self._go_on(supervisor)
                    return
            self.terminal.line("  The site that runs has another orders file, other settings or older code.")
            with self.terminal.step("Stopping it"):
                supervisor.shut_down()
        if ended := end_leftovers(self.checkout.state):
            self.terminal.line(f"  Ended {ended} processes that an earlier run had left behind.")
        machine.check_space(self.checkout.state, needed=machine.SPACE_TO_RUN, purpose="the site")
        self._start(stored, code)

    def _build(self, stored: Mapping[str, object], ports: Mapping[str, int]) -> dict[str, str]:
        environment = build_environment(self.checkout, self.place, stored=stored, ports=ports, host=self.host)
        if "valkey" in environment["SUPERVISOR_INCLUDE"]:
            environment["VALKEY_SERVER"] = str(find_valkey_server(self.checkout))
        return environment

    def _go_on(self, supervisor: Supervisor) -> None:
        with self.terminal.step("The site is up already; checking it"):
            supervisor.start(supervisor.programs())
            health.wait_for_programs(supervisor, self.environment)
            self._wait_for_workers()

    def _start(self, stored: Mapping[str, object], code: str) -> None:
        reservations = Reservations()
        try:
            last = ports_of(stored)
            ports = {}
            for program in USUAL_PORTS:
                host = self.host if program in ("web", "flower") else "127.0.0.1"
                ports[program] = reservations.choose(program, host, last=last.get(program))
            remember_ports(self.place, ports)
            self.environment = self._build(stored, ports)
            secrets = stored["secrets"]
            if not isinstance(secrets, dict):
                raise TypeError("the stored secrets are no object")
            for name in STORES:
                password = str(secrets[f"{name.upper()}_PASSWORD"])
                write_valkey_configuration(self.place, name, port=ports[name], password=password)
            record = {
                "folder": str(self.place.folder),
                "orders": str(self.place.orders),
                "ports": ports,
                "environment": self.environment,
                "fingerprint": fingerprint(self.environment),
                "code": code,
            }
            write_json(self.checkout.current, record)
            self.started_here = True
            machine.make_private_folder(Path(self.environment["TMPDIR"]))
            self._start_programs(reservations, code)
        finally:
            reservations.release_all()

    def _start_programs(self, reservations: Reservations, code: str) -> None:
        supervisor = launch_supervisor(self.checkout, self.environment)
        names = list(supervisor.programs())
        first = [name for name in names if name in (*STORES, "sandbox")]
        with self.terminal.step("Starting the embedded servers"):
            for name in first:
                reservations.release(name)
            supervisor.start(first)
            stores = {"valkey": "REDIS_URL", "valkey_cart": "ABANDON_CART_REDIS_URL"}
            urls = [self.environment[variable] for name, variable in stores.items() if name in names]
            health.wait_for_stores(urls, supervisor, first, self.place.logs)
        with self.terminal.step("Bringing the database up to date"):
            self.manage("migrate", "--no-input")
            self.manage("bootstrap_site")
        if read_json(self.place.prepared) != self._preparation(code):
            with self.terminal.step("Collecting the static files"):
                self.manage("collectstatic", "--no-input")
            with self.terminal.step("Importing the catalogue"):
                self.manage("import_products", str(self.checkout.root / SHIPPED_CATALOGUE))
            write_json(self.place.prepared, self._preparation(code))
        with self.terminal.step("Starting web, workers, relay, beat and Flower"):
            reservations.release_all()
            supervisor.start(names)
            health.wait_for_programs(supervisor, self.environment)
            self._wait_for_workers()

    def _preparation(self, code: str) -> dict[str, Any]:
        """Return what the static files and the catalogue were made from: this code and this very database file."""
        own = self.place.folder / "db.sqlite3"
        is_own = self.environment["DATABASE_URL"] == "sqlite:///" + quote(str(own))
        # Of a server's database nobody knows here whether it was emptied: the import looks for itself.
        return {"code": code, "database": own.stat().st_ino if is_own and own.exists() else time.time_ns()}

    def _wait_for_workers(self) -> None:
        try:
            silent = health.silent_workers(self.checkout, self.environment, timeout=health.START_PATIENCE)
        except health.NotAsked:
            raise Problem(
                "the workers could not be asked whether they are up", "see ./run logs worker_orders"
            ) from None
        for name, seconds in silent.items():
            raise Problem(f"the worker {name} did not answer for {seconds:.0f} s", f"see ./run logs worker_{name}")

    def manage(self, *arguments: str) -> None:
        """Run one management command quietly. Raises Problem with its last line when it fails."""
        log = self.place.logs / "start.log"
        with log.open("ab") as output:
            output.write(f"\n--- manage.py {' '.join(arguments)}\n".encode())
            output.flush()
            status = run_program(
                [self.checkout.python, "manage.py", *arguments],
                env=self.launched_environment(),
                folder=self.checkout.root,
                output=output,
                errors=subprocess.STDOUT,
            )
        if status:
            lines = log.read_text(errors="replace").rpartition("\n--- ")[2].strip().splitlines()
            said = f" ({lines[-1][:300]})" if len(lines) > 1 else ""
            raise Problem(f"manage.py {arguments[0]} ended with status {status}{said}", f"the rest is in {log}")

    def launched_environment(self) -> dict[str, str]:
        """Return the site's environment with the mark of a program that this process waits for."""
        return {**self.environment, LAUNCHED_MARK: self.environment["STATE_DIR"]}


def find_supervisor(record: Mapping[str, Any]) -> Supervisor:
    """Return the supervisord of the last start: its socket stays where that start put it, whatever a new login says."""
    environment = record.get("environment")
    return Supervisor(str(environment["SUPERVISOR_SOCKET"]) if isinstance(environment, dict) else "")


def shut_down(checkout: Checkout) -> bool:
    """Stop whatever runs of this checkout and return whether anything did; the state stays."""
    record = read_json(checkout.current)
    supervisor = find_supervisor(record)
    was_up = supervisor.is_up()
    if was_up:
        supervisor.shut_down()
    ended = end_leftovers(checkout.state)
    environment = record.get("environment")
    folder = Path(environment["SUPERVISOR_SOCKET"]).parent if isinstance(environment, dict) else None
    if folder and folder.name == checkout.mark and is_private(folder):
        shutil.rmtree(folder, ignore_errors=True)
    return was_up or ended > 0


def fingerprint_code(root: Path) -> str:
    """Return a short name of the code as it stands: a running site is restarted when it changed."""
    text = hashlib.sha256()
    for name in CODE:
        path = root / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.suffix in CODE_SUFFIXES and "__pycache__" not in file.parts:
                found = file.stat()
                text.update(f"{file.relative_to(root)} {found.st_mtime_ns} {found.st_size}\n".encode())
    return text.hexdigest()
