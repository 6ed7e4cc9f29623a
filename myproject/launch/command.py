"""The command line of `./run`: which verb does what, and what it returns. The contract stands in docs/running.md."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import machine, views
from .environment import is_mysql_wanted
from .installation import clean_environment, install, is_current
from .places import Checkout, Place, find_checkout, find_place, only_one, read_json
from .ports import check_host
from .problems import COULD_NOT_START, FAILED, INTERRUPTED, OK, Problem
from .site import Site, shut_down
from .terminal import Terminal, human_stream, interruptible, run_program, undisturbed

VERBS = ("start", "stop", "status", "logs", "shell", "reset")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; what stops it is told in one line on the error stream."""
    options = parse(arguments)
    checkout = find_checkout(Path(__file__).resolve().parents[2])
    os.umask(0o077)  # all that is written here is for its owner
    try:
        with interruptible():
            return run(options, checkout)
    except Problem as problem:
        print(f"run: {problem}", file=sys.stderr)
        return problem.status
    except KeyboardInterrupt:
        print("run: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED  # the reader has gone; what a start had begun is cleared away by now


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the command line as options; `--help` and mistakes end here, a mistake with status 2."""
    parser = argparse.ArgumentParser(
        prog="run",
        usage="./run [--orders FILE] [--json] [--no-replay] [--host HOST]\n"
        "       ./run stop | status | logs [PROGRAM] | shell [ARGUMENT ...] | reset",
        description="Installs and starts the whole site, replays a retailer's orders through it and reconciles them.",
        epilog="Exit status: 0 reconciled, 3 not reconciled, 4 reconciled but rows were rejected, "
        "2 could not start, 130 interrupted. docs/running.md says more.",
        allow_abbrev=False,
    )
    parser.add_argument("verb", nargs="?", choices=VERBS, default="start", metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument("--orders", type=Path, metavar="FILE", help="replay this file; it gets a state of its own")
    parser.add_argument("--json", action="store_true", help="print the reconciliation as one JSON object, nothing else")
    parser.add_argument("--no-replay", action="store_true", help="only start the site")
    parser.add_argument("--host", default="127.0.0.1", help="listen on this address (default: 127.0.0.1)")
    options = parser.parse_args(arguments)
    if options.rest and options.verb not in ("logs", "shell"):
        parser.error(f"unrecognized arguments: {' '.join(options.rest)}")
    if options.verb == "logs" and len(options.rest) > 1:
        parser.error("logs takes one program")
    return options


def run(options: argparse.Namespace, checkout: Checkout) -> int:
    """Do what `options` ask for and return the exit status. Raises Problem."""
    terminal = Terminal(human_stream(json_output=options.json))
    if options.verb == "status":
        return views.show_status(checkout, terminal)
    if options.verb == "logs":
        return views.show_logs(checkout, terminal, options.rest[0] if options.rest else "")
    if options.verb == "shell":
        return open_shell(checkout, options.rest)
    machine.make_private_folder(checkout.state)
    with only_one(checkout):
        if options.verb == "stop":
            return stop(checkout, terminal)
        if options.verb == "reset":
            return reset(checkout, terminal)
        return start(options, checkout, terminal)


def start(options: argparse.Namespace, checkout: Checkout, terminal: Terminal) -> int:
    """Install, start, replay, show. An interruption or a failed start clears away what this call has started."""
    machine.check_machine()
    place = find_place(checkout, options.orders)
    check_host(options.host)  # before a site that runs is stopped for it
    terminal.line(f"Starting the site of {place.orders.name}")
    if not is_current(checkout):
        shut_down(checkout)  # nothing may run in an environment that is about to be built again
    install(checkout, terminal, needs_mysql=is_mysql_wanted())
    site = Site(checkout, place, terminal, host=options.host)
    try:
        site.bring_up()
        status = OK if options.no_replay else replay(site, json_output=options.json)
    except BaseException:
        clear_away(site)
        raise
    if status == COULD_NOT_START:
        clear_away(site)  # the replay has said why
        return status
    views.show_addresses(site.environment, terminal)
    return status


def clear_away(site: Site) -> None:
    """Stop the site when this call has started it; one that was up before stays up."""
    if site.started_here:
        with undisturbed(), site.terminal.step("Stopping what was started"):
            shut_down(site.checkout)


def replay(site: Site, *, json_output: bool) -> int:
    """Replay the orders file in front of the reader and return the replay's own exit status."""
    site.terminal.line()
    status = run_program(
        [
            *(site.checkout.python, "manage.py", "replay_orders", site.place.orders),
            *(["--json"] if json_output else []),
        ],
        env=site.launched_environment(),
        folder=site.checkout.root,
    )
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    if status < 0:
        site.terminal.line(f"The replay was ended by signal {-status}.")
        return FAILED
    return status


def stop(checkout: Checkout, terminal: Terminal) -> int:
    """Stop the site; a second call finds nothing to do and is no error."""
    with undisturbed(), terminal.step("Stopping the site"):
        was_up = shut_down(checkout)
    terminal.line("Stopped. Its state is kept: ./run goes on with it." if was_up else "Nothing was running.")
    return OK


def reset(checkout: Checkout, terminal: Terminal) -> int:
    """Stop the site and remove the state of every orders file; the virtual environment stays."""
    import shutil

    with undisturbed(), terminal.step("Stopping the site and removing its state"):
        shut_down(checkout)
        shutil.rmtree(checkout.state / "sites", ignore_errors=True)
        checkout.current.unlink(missing_ok=True)
    terminal.line("Removed. The next ./run begins anew.")
    for name in ("DATABASE_URL", "REDIS_URL", "ABANDON_CART_REDIS_URL"):
        if os.environ.get(name):
            terminal.line(f"What {name} names is yours and was not touched.")
    return OK


def open_shell(checkout: Checkout, arguments: Sequence[str]) -> int:
    """Become `manage.py shell` with the site's environment."""
    environment = read_json(checkout.current).get("environment")
    if not isinstance(environment, dict) or not Place(Path(environment["STATE_DIR"]), Path()).folder.is_dir():
        raise Problem("there is no site yet", "start one with ./run")
    os.chdir(checkout.root)
    command = [str(checkout.python), "manage.py", "shell", *arguments]
    os.execve(command[0], command, {**clean_environment(), **environment})
