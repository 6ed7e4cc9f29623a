"""Stock Celery, set up as well as its documents advise: late acknowledgement, one message in hand, sent on commit.

`celery -A tests.faults.stock worker` runs the same tasks as the platform, on the same servers, without a Job row.
"""

from __future__ import annotations

import os

from celery import Celery

from tests.faults.budgets import STOCK_RESTORE, STOCK_VISIBILITY

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.faults.stock_settings")

app = Celery("stock")
app.conf.update(
    broker_url=os.environ.get("REDIS_URL", "redis://127.0.0.1:1/0"),
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": STOCK_VISIBILITY,
        "unacked_restore_interval": STOCK_RESTORE,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
    },
    result_backend=os.environ.get("STOCK_RESULTS_URL"),
    task_acks_late=True,
    task_reject_on_worker_lost=os.environ.get("STOCK_REJECT_ON_WORKER_LOST") == "1",
    task_default_queue="default",
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=os.environ.get("STOCK_REMOTE_CONTROL") != "0",
)
app.set_default()
app.autodiscover_tasks(["tests.faults.shop"])
