"""What `./run` shows: addresses and logins, the state of the programs, their logs."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from . import health
from .environment import ADMIN_EMAIL, FLOWER_USER, SERVICE_EMAIL
from .places import Checkout, read_json
from .ports import in_address, reachable
from .problems import FAILED, OK, Problem
from .programs import RUNNING, SupervisorErrors, consumed_queues, read_programs
from .servers import ServerError, queue_depths
from .site import find_supervisor
from .terminal import Terminal

LAST_LINES = 60


def show_addresses(environment: Mapping[str, str], terminal: Terminal) -> None:
    """Print where everything is and how to log in."""
    site = health.site_address(environment)
    flower_host = in_address(reachable(environment["FLOWER_ADDRESS"]))
    flower_password = environment["FLOWER_BASIC_AUTH"].partition(":")[2]
    rows = [
        ("Site", site, ""),
        ("Admin", f"{site}admin/", f"{ADMIN_EMAIL}  {environment['BOOTSTRAP_ADMIN_PASSWORD']}"),
        ("API", f"{site}api/docs/", f"{SERVICE_EMAIL}  token {environment['BOOTSTRAP_SERVICE_TOKEN']}"),
        ("Flower", f"http://{flower_host}:{environment['FLOWER_PORT']}/", f"{FLOWER_USER}  {flower_password}"),
        ("Payment stand-in", f"{environment['JUSPAY_BASE_URL']}/", ""),
        ("Mails", _mail_folder(environment), ""),
    ]
    terminal.line()
    for name, address, login in rows:
        if address:
            terminal.line(f"  {name:<17} {address:<36} {login}".rstrip())
    terminal.line()
    terminal.line("  ./run status | logs [PROGRAM] | shell | stop | reset")


def _mail_folder(environment: Mapping[str, str]) -> str:
    """Return the folder that mails are written to, or nothing when they are sent elsewhere."""
    parts = urlsplit(environment["EMAIL_URL"])
    return unquote(parts.path) if parts.scheme == "file" else ""


def show_status(checkout: Checkout, terminal: Terminal) -> int:
    """Print programs, addresses and queues; return 0 when all is well, else 1."""
    record = read_json(checkout.current)
    environment = record.get("environment")
    supervisor = find_supervisor(record)
    if not isinstance(environment, dict) or not supervisor.is_up():
        terminal.line("Nothing is running: ./run starts the site.")
        return FAILED
    complaints = []
    terminal.line(f"Site of {Path(str(record['orders'])).name}")
    try:
        programs = supervisor.programs()
    except SupervisorErrors as error:
        raise Problem(f"supervisord does not answer ({error})", "./run stop, then ./run", status=FAILED) from None
    for name, info in sorted(programs.items()):
        terminal.line(f"  {name:<17} {info['statename']:<9} {info['description']}")
        if info["state"] != RUNNING:
            complaints.append(f"{name} is {info['statename']}")
    for name, address in health.health_addresses(environment).items():
        status = health.get_status(address)
        if status != 200:
            complaints.append(f"{address} answers {status}" if status else f"{address} does not answer ({name})")
    try:
        silent = health.silent_workers(checkout, environment, timeout=8)
        complaints += [f"worker {name} did not answer a ping for {seconds:.0f} s" for name, seconds in silent.items()]
    except health.NotAsked:
        complaints.append("the workers could not be asked: the broker does not answer")
    _show_queues(checkout, environment, terminal)
    show_addresses(environment, terminal)
    terminal.line()
    terminal.line("Not healthy: " + "; ".join(complaints) if complaints else "Healthy.")
    return FAILED if complaints else OK


def _show_queues(checkout: Checkout, environment: Mapping[str, str], terminal: Terminal) -> None:
    """Print how many messages wait per queue, where the broker is a Redis that can be asked plainly."""
    if environment.get("CELERY_BROKER_URL"):
        return
    programs = read_programs(checkout.root / "supervisor", environment["SUPERVISOR_INCLUDE"], environment)
    consumed = consumed_queues(programs)
    carts = consumed.pop("worker_cart", [])
    try:
        depths = queue_depths(environment.get("REDIS_URL", ""), [name for names in consumed.values() for name in names])
        depths |= queue_depths(environment.get("ABANDON_CART_REDIS_URL", ""), carts)
    except ServerError:
        return
    waiting = ", ".join(f"{name} {depth}" for name, depth in depths.items() if depth)
    terminal.line()
    terminal.line(f"  Waiting messages: {waiting or 'none'}")


def show_logs(checkout: Checkout, terminal: Terminal, program: str) -> int:
    """Print the end of one program's log, or of all; in a terminal go on until Ctrl-C."""
    environment = read_json(checkout.current).get("environment")
    folder = Path(environment["LOG_DIR"]) if isinstance(environment, dict) else None
    files = sorted(folder.glob("*.log")) if folder else []
    if not files:
        raise Problem("there are no logs yet", "start the site with ./run", status=FAILED)
    if program:
        names = {file.stem: file for file in files}
        chosen = names.get(program) or names.get(f"worker_{program}")
        if chosen is None:
            raise Problem(f"there is no program {program}", f"one of: {', '.join(names)}", status=FAILED)
        files = [chosen]
    positions = {file: _show_end(file, terminal, labelled=not program) for file in files}
    while terminal.is_live:
        time.sleep(0.5)
        for file in files:
            positions[file] = _show_new(file, positions[file], terminal, labelled=not program)
    return OK


Position = tuple[int, int]  # inode and offset: a rotated file is a new one


def _show_end(file: Path, terminal: Terminal, *, labelled: bool) -> Position:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - 200 * LAST_LINES))
        text = stream.read()
        found = os.fstat(stream.fileno())
        _show(file, text.splitlines()[-LAST_LINES:], terminal, labelled=labelled)
        return found.st_ino, stream.tell()


def _show_new(file: Path, position: Position, terminal: Terminal, *, labelled: bool) -> Position:
    try:
        with file.open("rb") as stream:
            found = os.fstat(stream.fileno())
            same = found.st_ino == position[0] and found.st_size >= position[1]
            stream.seek(position[1] if same else 0)
            text = stream.read()
            whole = text[: text.rfind(b"\n") + 1]
            _show(file, whole.splitlines(), terminal, labelled=labelled)
            return found.st_ino, stream.tell() - len(text) + len(whole)
    except OSError:
        return position  # between two names, while it is rotated


def _show(file: Path, lines: list[bytes], terminal: Terminal, *, labelled: bool) -> None:
    for line in lines:
        text = line.decode(errors="replace")
        terminal.line(f"{file.stem:<16} | {text}" if labelled else text)
