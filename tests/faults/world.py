"""A world: one broker, one database, the platform's programs under supervisor, and a site that makes promises.

A world is built once for a session and used by one row after the other; `begin` gives each of them the same start.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.faults import gates, oracle
from tests.faults.brokers import Broker
from tests.faults.budgets import RECOVERY, SETTLE, START, STEP, seed, seed_of
from tests.faults.checker import Report, log_errors, look, wait_for_all
from tests.faults.databases import KINDS
from tests.faults.failpoints import Failpoints
from tests.faults.load import Answer, Producer
from tests.faults.programs import Program, Programs
from tests.servers.processes import ROOT, clean_environment, python, wait_until
from tests.servers.proxy import Proxy

QUEUES = ("default", "orders", "external_api_queue")
WORKERS = ("worker_a", "worker_b")
SHOP_TABLES = ("shop_intent", "shop_effect", "shop_oddity")
JOB_TABLES = (
    "jobs_job", "jobs_jobkey", "jobs_jobevent", "jobs_uniquekey", "jobs_concurrencyslot", "jobs_chord",
    "jobs_chordpart", "jobs_savedgroup", "jobs_control", "jobs_brokermark",
)  # fmt: skip


class World:
    """Everything that one row needs. See the package's docstring for how a row is written."""

    def __init__(self, *, broker: str, database: str, stock: bool = False) -> None:
        """Describe a world of `redis` or `valkey`, a kind of `databases.KINDS`, and `stock` Celery or the platform."""
        self.name = f"{broker}+{database}" + ("+stock" if stock else "")
        self.stock = stock
        # A short path: supervisor's and MariaDB's sockets may have 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="mp-faults-"))
        self.broker = Broker(broker, folder=self.folder / "broker")
        self.database: Any = KINDS[database](folder=self.folder / "db")
        self.oracle = oracle.Oracle(self.folder / "ledger")
        (self.folder / "gates").mkdir()
        self.gates = gates.Gates(self.folder / "gates")
        self.failpoints = Failpoints(self.folder / "failpoints")
        settings = "tests.faults.stock_settings" if stock else "tests.faults.settings"
        self.env = clean_environment(
            DJANGO_SETTINGS_MODULE=settings,
            STATE_DIR=str(self.folder / "state"),
            DATABASE_URL=self.database.url,
            REDIS_URL=self.broker.url,
            ABANDON_CART_REDIS_URL=self.broker.url[:-1] + "3",
            STOCK_RESULTS_URL=self.broker.url[:-1] + "1",
            LOG_FORMAT="json",
            PYTHONUNBUFFERED="1",
            **{oracle.VARIABLE: str(self.oracle.path), gates.VARIABLE: str(self.gates.folder)},
        )
        self.programs = Programs(folder=self.folder, env=self.env)
        self._producer: Producer | None = None
        self._offsets: dict[Path, int] = {}
        self._row = ""
        self.unfinished = False
        self._plain: dict[str, Program] = {}

    # --- building -------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Start servers, make the tables and start every program."""
        self.broker.start()
        self.database.start()
        (self.folder / "state").mkdir(exist_ok=True)
        self.manage("migrate", "--run-syncdb", "--verbosity", "0")
        self.programs.start()
        for name in WORKERS:
            self.programs.add(self.worker_program(name))
        if not self.stock:
            self.programs.add(self.relay_program("relay"))
        self._plain = dict(self.programs.programs)

    def worker_program(self, name: str, *, concurrency: int = 2, extra: Iterable[str] = (), **env: str) -> Program:
        """Return the description of a worker of all queues, for `programs.add`; `env` is added to its environment."""
        app = "tests.faults.stock" if self.stock else "myproject"
        command = [
            python(), "-m", "celery", "-A", app, "worker", "-n", f"{name}@world", "-Q", ",".join(QUEUES),
            "-c", str(concurrency), "--prefetch-multiplier=1", "-l", "INFO", "--without-mingle", "--without-gossip",
            *extra,
        ]  # fmt: skip
        return Program(name, command, env=self.failpoints.env("worker") | env)

    def relay_program(self, name: str, **env: str) -> Program:
        """Return the description of a relay."""
        return Program(name, [python(), "manage.py", "relay"], env=self.failpoints.env("relay") | env)

    def replace(self, program: Program, *, kill: bool = True) -> None:
        """Run a program in the place of the one with its name, until the row ends."""
        self.programs.remove(program.name, kill=kill)
        self.programs.add(program)

    @contextlib.contextmanager
    def link(self, *, to: str, programs: Iterable[str] = WORKERS) -> Iterator[Proxy]:
        """Lead programs to the `broker` or the `database` through a link that can fail, for the length of the block."""
        port = self.broker.port if to == "broker" else self.database.port
        with Proxy(port) as proxy:
            variable, url = ("REDIS_URL", self.broker.url) if to == "broker" else ("DATABASE_URL", self.database.url)
            plain = [self.programs.programs[name] for name in programs]
            for one in plain:
                detour = {variable: url.replace(f":{port}/", f":{proxy.port}/")}
                self.replace(Program(one.name, one.command, env=one.env | detour, stop_seconds=one.stop_seconds))
            self.wait_for_workers([one.name for one in plain])
            try:
                yield proxy
            finally:
                proxy.heal()
                for one in plain:
                    self.replace(one)

    @property
    def producer(self) -> Producer:
        """The site, started when first asked for, and again after a row has killed it."""
        if self._producer is None or not self._producer.is_running():
            self._producer = self.new_producer()
        return self._producer

    def new_producer(self, **env: str) -> Producer:
        """Start another site with variables of its own; the row stops it."""
        return Producer(env=self.env | self.failpoints.env("site") | env, folder=self.folder)

    # --- one row --------------------------------------------------------------------------------------------------

    def begin(self, row: str) -> None:
        """Give the row a clean start: healthy servers, running workers, empty tables and lists."""
        self._row = row
        print(f"\n{row} on {self.name}, FAULTS_SEED={seed()}", flush=True)
        if self.unfinished:  # a row that failed may have left tasks that hold locks
            for name in self.programs.programs:
                self.programs.kill(name)
        self.unfinished = True
        self.restore()
        self.clear()
        self.wait_for_workers()
        self.clear()
        files = [self.programs.log_file(name) for name in self.programs.programs]
        self._offsets = {file: file.stat().st_size for file in files if file.exists()}

    def restore(self) -> None:
        """Bring servers and programs back to what every row finds."""
        self.database.heal()
        self.broker.heal()
        for name in set(self.programs.programs) - set(self._plain):
            self.programs.remove(name, kill=True)
        for name, program in self._plain.items():
            if self.programs.programs.get(name) is not program:
                self.replace(program)
        self.programs.thaw()

    def clear(self) -> None:
        """Empty tables, lists, gates, failpoints and the receiver's ledger."""
        self.broker.flush()
        # Jobs first: this waits for those that are running, and what they leave goes next.
        for table in SHOP_TABLES if self.stock else (*JOB_TABLES, *SHOP_TABLES):
            self.database.rows(f"DELETE FROM {table}")
        # The relay has seen the first flush and sent the open jobs again. Workers that find no row for hundreds of
        # messages come late to those of the row that begins.
        self.broker.flush()
        self.gates.clear()
        self.failpoints.clear()
        self.oracle.clear()

    def wait_for_workers(self, names: Iterable[str] = WORKERS, *, within: float = 2 * START) -> None:
        """Wait until each of the workers has run a task: it has connected and its pool is alive. This is I6."""
        waiting, number = set(names), 0
        deadline = time.monotonic() + within
        while waiting:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{', '.join(sorted(waiting))} ran no task within {within:g} s{self.log_ends()}")
            self.producer.call("slow", *(f"probe{number + one}" for one in range(8)), args=(0.02,), owes=False)
            number += 8
            time.sleep(0.15)
            found = self.database.rows("SELECT DISTINCT worker FROM shop_effect WHERE `key` LIKE 'probe%%'")
            waiting -= {worker.partition("@")[0] for (worker,) in found}
        self.database.rows("DELETE FROM shop_effect WHERE `key` LIKE 'probe%%'")

    check_progress = wait_for_workers

    def load(
        self, *, count: int, pause: float = 0.0, kinds: Mapping[str, int] | None = None, prefix: str = ""
    ) -> Answer:
        """Begin a seeded load of intents; see `tests.faults.load.Producer.load`."""
        row = f"{self._row}{prefix}"
        return self.producer.load(prefix=f"{row}-", seed=seed_of(row), count=count, pause=pause, kinds=kinds)

    def wait_for_effects(self, count: int) -> None:
        """Wait until at least so many effects stand: the load is under way."""
        try:
            wait_until(lambda: self.effects() >= count, timeout=RECOVERY, what=f"{count} effects")
        except TimeoutError as error:
            raise TimeoutError(f"{error}{self.what_is_open()}{self.log_ends()}") from None

    def effects(self) -> int:
        """Return how many effects stand, the receiver's included."""
        [(rows,)] = self.database.rows("SELECT COUNT(*) FROM shop_effect")
        return int(rows) + sum(self.oracle.applied().values())

    def wait_for_gate(self, name: str, *, times: int = 1) -> list[int]:
        """Wait until tasks have come to a gate so many times; return their processes."""
        wait_until(
            lambda: len(self.gates.arrivals(name)) >= times, timeout=STEP, what=f"{times} arrivals at gate {name}"
        )
        return self.gates.arrivals(name)

    def report(self, *, within: float = RECOVERY, declared: Iterable[str] = ()) -> Report:
        """Wait until all is done, watch for doubles, and count. The cure is now."""
        _, took = wait_for_all(self, within=within)
        time.sleep(SETTLE)
        files = [self.programs.log_file(name) for name in self.programs.programs]
        errors = log_errors(files, since=self._offsets, declared=declared)
        report = Report(row=self._row, findings=look(self), recovery=took, errors=errors)
        print(report, flush=True)
        return report

    def check(self, *, within: float = RECOVERY, parked: int = 0, declared: Iterable[str] = ()) -> Report:
        """Demand all invariants: nothing lost, doubled or done though rolled back, soon, and no surprise in a log."""
        report = self.report(within=within, declared=declared)
        found = report.findings
        assert not found.lost and not found.open_jobs, f"lost or late\n{report}{self.what_is_open()}{self.log_ends()}"
        assert not found.doubled and not found.ghosts and not found.oddities, f"done wrongly\n{report}"
        assert found.parked == parked, f"{found.parked} parked, expected {parked}\n{report}"
        assert not report.errors, f"undeclared errors\n{report}"
        self.unfinished = False
        return report

    def jobs(self, columns: str, where: str = "1 = 1", *values: Any) -> list[tuple[Any, ...]]:
        """Return columns of Job rows."""
        return list(self.database.rows(f"SELECT {columns} FROM jobs_job WHERE {where}", *values))

    # --- the rest -------------------------------------------------------------------------------------------------

    def manage(self, *arguments: str, timeout: float = 4 * START) -> str:
        """Run `manage.py` with the world's environment and return what it printed."""
        done = subprocess.run(
            [python(), "manage.py", *arguments],
            env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"manage.py {' '.join(arguments)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def what_is_open(self) -> str:
        """Return the open jobs and what waits in the broker, for messages."""
        columns = "created_at, task, state, due_at, attempts, deliveries, epoch, holder"
        rows = self.jobs(columns, "state IN (0, 1, 2) ORDER BY created_at LIMIT 8") if not self.stock else []
        programs = {name: self.programs.state(name) for name in self.programs.programs}
        return "".join(f"\n  open: {row}" for row in rows) + f"\n  {self.broker.waiting()} messages, {programs}"

    def log_ends(self) -> str:
        """Return the last lines of every program's log, for messages."""
        files = [self.programs.log_file(name) for name in self.programs.programs] + [self.folder / "supervisor.log"]
        ends = (f"\n--- {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files if file.exists())
        return "".join(ends)

    def stop(self) -> None:
        """End everything and remove the folder."""
        if self._producer is not None:
            self._producer.stop()
        self.programs.stop()
        self.database.stop()
        self.broker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
