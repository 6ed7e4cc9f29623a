"""The two Celery apps: the platform's own and the abandoned carts', which has a broker to itself."""

from __future__ import annotations

import os

from celery import Celery

from myproject.jobs.transport import install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings")

install()

app = Celery("myproject")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()  # `shared_task.delay()` reaches this app in every thread, whichever app was made last

# Idle shoppers are many and not urgent: their own broker keeps a flood of them away from orders. The app is never the
# current one, so a shared task cannot go to the wrong broker.
abandon_cart_app = Celery("fast_queue", set_as_current=False)
abandon_cart_app.config_from_object("myproject.settings.carts")
