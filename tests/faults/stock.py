"""Stock Celery, set up as well as its documents advise: late acknowledgement, one message in hand, sent on commit.

`celery -A tests.faults.stock worker` runs the same tasks as the platform, on the same servers, without a Job row.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.faults.stock_settings")

#: Seconds until Redis' transport gives a dead worker's messages to another one. The default is an hour, which no
#: comparison can wait for; the documents say so beside the table.
VISIBILITY_TIMEOUT = 10

app = Celery("stock")
app.conf.update(
    broker_url=os.environ.get("REDIS_URL", "redis://127.0.0.1:1/0"),
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT, "socket_timeout": 10},
    result_backend=os.environ.get("STOCK_RESULTS_URL"),
    task_acks_late=True,
    task_reject_on_worker_lost=os.environ.get("STOCK_REJECT_ON_WORKER_LOST") == "1",
    task_default_queue="default",
    worker_prefetch_multiplier=1,
)
app.set_default()
app.autodiscover_tasks(["tests.faults.shop"])
