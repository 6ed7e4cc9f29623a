"""The task platform's settings: queues, routes, limits, schedule.

The law of this module. A queue exists if and only if it stands in QUEUES. Each row says what the queue is for, which
tasks go there, how urgent they are by default, how many messages a worker reserves ahead, how long a task may run and
which program in `supervisor/` consumes it. Routes, limits and the workers' flags follow from the table, and
`tests/architecture/` holds the code and the supervisor files to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from celery.schedules import crontab
from kombu import Exchange, Queue

from myproject.environment import (
    neighbour_database,
    read,
    read_broker,
    read_positive,
    read_queue_name,
    read_rate,
    read_redis,
    read_result_backend,
    read_time_zone,
    refuse,
)
from myproject.jobs.aliases import resolve

# --- Priorities ---------------------------------------------------------------------------------------------------
# Callers write 0-9 and 9 is the most urgent. RabbitMQ agrees by itself; on Redis `myproject.jobs.transport` makes the
# workers read the lists from 9 down, while messages and keys stay as stock Celery writes them.
URGENT, NORMAL, BACKGROUND = 7, 5, 2


@dataclass(frozen=True)
class Limits:
    """Time limits in seconds: `soft` raises SoftTimeLimitExceeded in the task, `hard` kills its process."""

    soft: int
    hard: int


# A task of the path does a few statements and at most one call with a 10 s timeout, so 60/120 s is far above what is
# healthy and far below the visibility timeout. Reports and full syncs are given 9 and 10 minutes.
SHORT = Limits(soft=60, hard=120)
LONG = Limits(soft=540, hard=600)


@dataclass(frozen=True, kw_only=True)
class QueueSpec:
    """One queue: its name, purpose, tasks (patterns over task names), priority, limits and consuming program.

    `prefetch` is in messages per pool process.
    """

    name: str
    purpose: str
    tasks: tuple[str, ...]
    priority: int
    prefetch: int
    limits: Limits
    program: str
    app: str = "myproject"


# Names that no variable may take, because they are taken already.
_TAKEN = {"orders", "reports", "default", "fast_queue"}


def _queue_name(variable: str, default: str) -> str:
    name = read_queue_name(variable, default)
    if name in _TAKEN:
        raise refuse(variable, name, allowed=f"a name that no other queue has (taken: {', '.join(sorted(_TAKEN))})")
    _TAKEN.add(name)
    return name


ORDERS = "orders"
CANCEL_ORDER = _queue_name("CELERY_CANCEL_ORDER_QUEUE", "cancel_order_queue")
ORDER_REFUND = _queue_name("CELERY_ORDER_REFUND_QUEUE", "order_refund_queue")
EXTERNAL_API = _queue_name("CELERY_EXTERNAL_API_QUEUE", "external_api_queue")
MARKETING = _queue_name("CELERY_MARKETING_QUEUE", "marketing_queue")
ORDER_FLAG = _queue_name("CELERY_ORDER_FLAG_QUEUE", "order_flag_queue")
SYNC = _queue_name("CELERY_SYNC_QUEUE", "sync_queue")
SEARCH_SYNC = _queue_name("CELERY_SEARCH_SYNC_QUEUE", "search_sync_queue")
KINESIS = _queue_name("CELERY_KINESIS_QUEUE", "kinesis_queue")
AVAILABILITY_LOG = _queue_name("HL_AVAILABILITY_LOG_QUEUE", "hl_availability_log_queue")
VISIT_LOG = _queue_name("VISITED_PRODUCT_LOGGING_QUEUE", "visited_product_logging_queue")

# Tasks are matched from the first row down; the last row, `default`, takes what no other row names.
QUEUES: tuple[QueueSpec, ...] = (
    QueueSpec(
        name=CANCEL_ORDER, purpose="cancellations: stock back, refunds planned", priority=URGENT, prefetch=1,
        tasks=("orders.tasks.process_order_cancellation",), program="worker_orders", limits=SHORT,
    ),
    QueueSpec(
        name=ORDER_REFUND, purpose="refunds sent to the provider and looked up", priority=URGENT, prefetch=1,
        tasks=("orders.tasks.initiate_*_refund", "orders.tasks.check_refund"), program="worker_orders", limits=SHORT,
    ),
    QueueSpec(
        name=EXTERNAL_API, purpose="provider webhooks and read-backs", priority=URGENT, prefetch=1,
        tasks=("orders.tasks.process_webhook_event", "orders.tasks.check_payment"),
        program="worker_external", limits=SHORT,
    ),
    QueueSpec(
        name=ORDER_FLAG, purpose="order flags and support alerts", priority=NORMAL, prefetch=1,
        tasks=("orders.tasks.flag_*",), program="worker_default", limits=SHORT,
    ),
    QueueSpec(
        name="reports", purpose="reports and long exports", priority=BACKGROUND, prefetch=1,
        tasks=("reports.tasks.*", "orders.tasks.generate_*", "orders.tasks.reconcile_*"),
        program="worker_bulk", limits=LONG,
    ),
    QueueSpec(
        name=KINESIS, purpose="event streams", priority=NORMAL, prefetch=4,
        tasks=("catalog.tasks.*kinesis*", "orders.tasks.*kinesis*"), program="worker_bulk", limits=LONG,
    ),
    QueueSpec(
        name=ORDERS, purpose="orders: stock, ledger, charge, confirmation", priority=URGENT, prefetch=1,
        tasks=("orders.tasks.*",), program="worker_orders", limits=SHORT,
    ),
    QueueSpec(
        name=MARKETING, purpose="marketing events and attributes", priority=BACKGROUND, prefetch=4,
        tasks=("notifications.tasks.sync_user_attributes_*", "notifications.tasks.send_marketing_*"),
        program="worker_default", limits=SHORT,
    ),
    QueueSpec(
        name=SEARCH_SYNC, purpose="search index, Dgraph and OpenSearch", priority=NORMAL, prefetch=1,
        tasks=("search.tasks.*",), program="worker_bulk", limits=LONG,
    ),
    QueueSpec(
        name=AVAILABILITY_LOG, purpose="hyperlocal availability log", priority=BACKGROUND, prefetch=16,
        tasks=("catalog.tasks.log_availability*", "catalog.tasks.hl_availability_log*"),
        program="worker_logs", limits=SHORT,
    ),
    QueueSpec(
        name=VISIT_LOG, purpose="product page visits", priority=BACKGROUND, prefetch=16,
        tasks=("catalog.tasks.log_visit*", "catalog.tasks.visited_product_log*"), program="worker_logs", limits=SHORT,
    ),
    QueueSpec(
        name=SYNC, purpose="catalogue imports and synchronisation", priority=NORMAL, prefetch=1,
        tasks=("catalog.tasks.*",), program="worker_bulk", limits=LONG,
    ),
    QueueSpec(
        name="fast_queue", purpose="abandoned carts, on their own broker", priority=NORMAL, prefetch=1,
        tasks=("carts.tasks.*",), program="worker_cart", app="fast_queue", limits=SHORT,
    ),
    QueueSpec(
        name="default", purpose="messages to customers and everything else", priority=NORMAL, prefetch=1,
        tasks=("*",), program="worker_default", limits=SHORT,
    ),
)  # fmt: skip


def queue_for(task_name: str, *, app: str = "myproject") -> QueueSpec:
    """Return the table's row that the task of that name belongs to; an old name counts as the task it stands for."""
    name = resolve(task_name)
    for queue in QUEUES:
        if queue.app == app and any(fnmatchcase(name, pattern) for pattern in queue.tasks):
            return queue
    return next(queue for queue in QUEUES if queue.app == app)


def route_task(
    name: str, args: Any, kwargs: Any, options: dict[str, Any], task: Any = None, **_: Any
) -> dict[str, Any]:
    """Celery's router: the queue and the default priority of a task, as the table says.

    See Celery's user guide, "Routing Tasks", section "Routers". What the caller passes to `apply_async` wins.
    """
    app = "fast_queue" if task is not None and task.app.main == "fast_queue" else "myproject"
    queue = queue_for(name, app=app)
    return {"queue": queue.name, "priority": queue.priority}


class TableOptions:
    """Gives every task its queue's priority and limits, unless the task declares its own.

    Celery copies `task_default_priority` and the default limits onto each task, where they would win over what the
    router says. See Celery's user guide, "Configuration", setting `task_annotations`.
    """

    def annotate(self, task: Any) -> dict[str, int] | None:
        """Return the attributes to set on `task`."""
        if task.name.startswith("celery."):
            return None
        queue = queue_for(task.name, app="fast_queue" if task.app.main == "fast_queue" else "myproject")
        values = {
            "priority": (NORMAL, queue.priority),
            "soft_time_limit": (SHORT.soft, queue.limits.soft),
            "time_limit": (SHORT.hard, queue.limits.hard),
        }
        return {name: value for name, (default, value) in values.items() if getattr(task, name) == default}

    def annotate_any(self) -> None:
        """Nothing holds for every task alike."""


def declared_queues(app: str) -> tuple[Queue, ...]:
    """Return the kombu queues of one Celery app; `x-max-priority` gives RabbitMQ's classic queues ten priorities."""
    return tuple(
        Queue(queue.name, Exchange(queue.name), routing_key=queue.name, queue_arguments={"x-max-priority": 9})
        for queue in QUEUES
        if queue.app == app
    )


# --- Broker and results -------------------------------------------------------------------------------------------
_REDIS_URL = read_redis("REDIS", default_database=0)
CELERY_BROKER_URL = read_broker("CELERY_BROKER_URL", _REDIS_URL)
CELERY_RESULT_BACKEND = read_result_backend("CELERY_RESULT_BACKEND", neighbour_database(_REDIS_URL, 1))
ABANDON_CART_BROKER_URL = read_redis("ABANDON_CART_REDIS", default_database=3)

# A task that runs longer than this is delivered again, so it stands above every time limit with room to spare.
VISIBILITY_TIMEOUT = read_positive("CELERY_VISIBILITY_TIMEOUT", 3600, unit="seconds")
if max(queue.limits.hard for queue in QUEUES) >= VISIBILITY_TIMEOUT:
    raise refuse(
        "CELERY_VISIBILITY_TIMEOUT",
        VISIBILITY_TIMEOUT,
        allowed=f"more than {max(queue.limits.hard for queue in QUEUES)} seconds, the longest time limit of a task",
    )
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {}
    if CELERY_BROKER_URL.startswith("amqp")
    else {
        "visibility_timeout": VISIBILITY_TIMEOUT,
        "priority_steps": list(range(10)),  # all ten; the default merges 0-2, 3-5 and 6-8
        # Without them a publisher waits for ever on a broker that accepts and never answers.
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker as long as it takes
CELERY_RESULT_EXPIRES = read_positive("CELERY_TASK_RESULT_EXPIRES_IN_SEC", 3600, unit="seconds")
CELERY_RESULT_EXTENDED = False  # extended results repeat the arguments, which may name a customer
CELERY_REDIS_SOCKET_TIMEOUT = 10.0
CELERY_REDIS_SOCKET_CONNECT_TIMEOUT = 5.0
CELERY_REDIS_SOCKET_KEEPALIVE = True

# --- Messages -----------------------------------------------------------------------------------------------------
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = CELERY_RESULT_ACCEPT_CONTENT = ["json"]  # a pickle is code of whoever can write to the broker
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_DEFAULT_EXCHANGE = "default"
CELERY_TASK_DEFAULT_ROUTING_KEY = "default"
CELERY_TASK_DEFAULT_PRIORITY = NORMAL
CELERY_TASK_QUEUES = declared_queues("myproject")
CELERY_TASK_CREATE_MISSING_QUEUES = True  # `-Q` with a queue of a rolling deploy must not stop the worker
CELERY_TASK_ROUTES = (route_task,)
CELERY_TASK_ANNOTATIONS = (TableOptions(),)

# --- Execution ----------------------------------------------------------------------------------------------------
# A durable job's row survives whatever happens to its message (docs/jobs.md). Late acknowledgement shortens the way
# back where the broker still has the message, and is what best-effort tasks live by: the early form lost 14 of 3,082
# tasks to kill -9, the late one 1 of 3,028.
CELERY_TASK_ACKS_LATE = True
# For best-effort tasks: a killed pool process uses one retry. `reject_on_worker_lost` would run a task that kills for
# ever (measured: 7 runs in 15 s), and doing nothing would drop it. The deaths of a job are counted by its row.
CELERY_TASK_RETRY_ON_WORKER_LOST = True
# Seconds that a pool waits for the result of a process that is gone before it says so; 10 by default. A result is in
# the pipe before its process ends, and until then the death is not counted.
CELERY_WORKER_LOST_WAIT = 1.0
# Seconds that a pool gives a new process to be ready before it kills it; 4 by default. On a machine so busy that one
# takes longer the next one does, too, and the worker would start processes for ever and run nothing. A process that
# hangs at its birth holds one place for as long.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 60.0
CELERY_TASK_TRACK_STARTED = True
CELERY_TASK_SOFT_TIME_LIMIT = SHORT.soft
CELERY_TASK_TIME_LIMIT = SHORT.hard
CELERY_TASK_SEND_SENT_EVENT = True  # Flower shows what was sent and not yet taken
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # fair dispatch; programs with a larger one say so on their command line
CELERY_WORKER_MAX_TASKS_PER_CHILD = 10_000  # bounds a slow leak; a new process costs 30 ms
CELERY_WORKER_ENABLE_REMOTE_CONTROL = True  # without it a worker hangs for ever after the broker restarts
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False  # tasks are idempotent: let them finish
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # structlog owns the logs
CELERY_CONTROL_QUEUE_EXPIRES = 300.0  # replies to inspect that nobody fetched leave Redis after five minutes
CELERY_CONTROL_QUEUE_TTL = 300.0
CELERY_ENABLE_UTC = True
CELERY_TIMEZONE = read_time_zone("CELERY_TIMEZONE", "UTC")

# --- Limits of single tasks, read from the environment as the documents name them ----------------------------------
KINESIS_INSERT_RATE_LIMIT = read_rate("KINESIS_INSERT_RATE_LIMIT", "100/s")
# Seconds that a step of an order may take before the sweep has it done again. Every step of the path takes less than
# one when nothing is wrong, and a call to the provider ends after 10; below that the sweep would only double work.
SWEEP_AFTER = read("float", "SWEEP_AFTER", 60.0, allowed="a number from 0 (seconds)")
if not 0 <= SWEEP_AFTER < 86_400:
    raise refuse("SWEEP_AFTER", SWEEP_AFTER, allowed="a number from 0 to 86,399 (seconds)")

# --- Schedule -----------------------------------------------------------------------------------------------------
# Seeds of django-celery-beat's tables: made once, and from then on the operators', who edit the rows in the admin.
CELERY_BEAT_SCHEDULER = "myproject.jobs.schedules:SeedingDatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # seconds until an edit in the admin is noticed
CELERY_BEAT_SYNC_EVERY = 1  # write the last run after every fire: a killed beat repeats one at most
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "sweep-stuck-orders": {
        "task": "orders.tasks.sweep_stuck_orders",
        "schedule": 60.0,
        "options": {"expire_seconds": 55},  # a sweep that waited for a minute is overtaken by the next one
    },
    "verify-search-index": {
        "task": "search.tasks.verify_index",
        "schedule": crontab(minute=40),
        "options": {"expire_seconds": 3000},  # what a lost message left stale is stale for an hour at most
    },
    "verify-stock": {
        "task": "catalog.tasks.verify_stock",
        "schedule": crontab(hour=3, minute=30),
        "options": {"expire_seconds": 3600},
    },
    "cleanup-expired-sessions": {
        "task": "myproject.accounts.tasks.cleanup_sessions",
        "schedule": crontab(minute=0),
        "options": {"expire_seconds": 3000},
    },
    "cleanup-sessions": {
        "task": "myproject.accounts.tasks.cleanup_sessions",
        "schedule": crontab(hour=2, minute=0),
        "options": {"expire_seconds": 3600},
    },
}
CELERY_WORKER_REDIRECT_STDOUTS = False
DJANGO_CELERY_RESULTS_TASK_ID_MAX_LENGTH = 191  # the longest indexed utf8mb4 column of MySQL
