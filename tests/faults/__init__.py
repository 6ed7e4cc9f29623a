"""The fault matrix: real servers and programs, real harm, and a count of what was lost or done twice.

How a row's test is written. One file per row, `test_NN_what_fails.py`, and in it functions that take the fixture
`world` (see `conftest.py`):

    BROKER = "valkey"  # or "redis", the default; DATABASE = "mariadb" (default) or "sqlite"


    def test_nothing_is_lost_when_a_worker_group_is_killed(world: World) -> None:
        load = world.load(count=200, pause=0.005)  # a seeded mix of commits, roll-backs, savepoints and countdowns
        world.wait_for_effects(20)  # the load is under way
        world.programs.kill("worker_a")  # the harm; supervisor brings the worker back
        made = load.made()  # what the site did meanwhile
        assert made.errors == []
        world.check()  # I1, I2, I4, I5, I8, I9
        world.check_progress()  # I6: each worker runs a task

- The row finds healthy servers, empty tables and workers that have just run a task (`World.begin`). What it changes is
  put back by the next row, but a context manager of its own is better: `broker.frozen()`, `broker.configured(...)`,
  `database.configured(...)`, `programs.frozen(name)`, `world.link(to="broker")`.
- Programs with other variables: `world.replace(world.worker_program("worker_a", FAILPOINT="claim.after:kill"))`, more
  of them with `world.programs.add(world.relay_program("relay_2"))`. Both last until the row ends.
- To strike in the middle of a body, let it wait there: `world.producer.call("gated", "key", args=("gate",))`, then
  `world.wait_for_gate("gate")` gives the process, and `world.gates.open("gate")` lets it go on. Do not sleep and hope.
- Effects outside: tasks `charge` (lookup), `announce` (resend) and `mail` (park) call `world.oracle`, which no kill
  reaches: `world.oracle.applied()["key"]`.
- Poison: `world.producer.call("poison", "key", args=("kill",))`, and `world.check(parked=1)` demands that it is parked.
- `world.check(declared=BROKER_AWAY)` names what programs may say in their logs; anything else of level ERROR fails.
- Wait with deadlines of `budgets`; repeat with `rounds(quick=1, long=100)`; random choices come from `seed_of(row)`.

`python -m tests.faults.compare` runs the rows that have a `scenario(world)` against stock Celery as well and writes the
table of docs/faults.md. FAULTS_SEED, FAULTS_LONG and FAULTS_BUDGET_FACTOR: see `budgets`.
"""
