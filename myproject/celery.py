"""The two Celery apps: the platform's own and the abandoned carts', which has a broker to itself."""

from __future__ import annotations

import os
from typing import Any

import django
from celery import Celery
from celery.app.utils import Settings
from celery.utils.imports import instantiate
from django.apps import apps
from kombu.utils.objects import cached_property

from myproject.jobs.transport import install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings")

install()

FIXUPS = ["myproject.jobs.database:fixup"]  # in place of Celery's own, which connects to the database for every task


class PlatformCelery(Celery):
    """Celery on the platform's parts: every task is a durable job unless it says otherwise (docs/jobs.md).

    These are Celery's own seams; nothing is patched. `backend_cls` and not the argument `backend`, which would take
    the place of CELERY_RESULT_BACKEND: that setting names the backend of best-effort tasks.
    """

    amqp_cls = "myproject.jobs.amqp:DurableAMQP"
    task_cls = "myproject.jobs.task:DurableTask"
    backend_cls = "myproject.jobs.backend:JobBackend"
    control_cls = "myproject.jobs.revoking:Control"

    @cached_property
    def amqp(self) -> Any:
        """The sender of messages; `celery call` and `celery purge` ask for it without having started Django."""
        _start_django()
        return instantiate(self.amqp_cls, app=self)

    @cached_property
    def control(self) -> Any:
        """Remote control; `celery inspect` and `celery control` ask for it without having started Django."""
        _start_django()
        return instantiate(self.control_cls, app=self)

    def _get_backend(self) -> Any:
        _start_django()  # `celery result`
        return super()._get_backend()  # type: ignore[misc]  # the types that are about are of another version


def _start_django() -> None:
    """Start Django unless it is started, or starting: the parts above read rows."""
    if not apps.ready and not apps.loading:
        django.setup()


app = PlatformCelery("myproject", fixups=FIXUPS)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()  # `shared_task.delay()` reaches this app in every thread, whichever app was made last


class _OwnBroker(Settings):
    """Celery's settings without its back door.

    Celery lets the variables CELERY_BROKER_URL and CELERY_RESULT_BACKEND win over the configuration of every app in
    the process (celery.app.utils.Settings), which would send the carts' tasks to the orders' broker.
    """

    broker_url = property(lambda self: self["broker_url"])
    broker_read_url = broker_write_url = broker_url
    result_backend = property(lambda self: self["result_backend"])


class _CartCelery(PlatformCelery):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Celery fills this very object when it loads the configuration; plain assignment would become a setting.
        object.__setattr__(self.conf, "__class__", _OwnBroker)


# Idle shoppers are many and not urgent: their own broker keeps a flood of them away from orders. The app is never the
# current one, so a shared task cannot go to the wrong broker.
abandon_cart_app = _CartCelery("fast_queue", set_as_current=False, fixups=FIXUPS)
abandon_cart_app.config_from_object("myproject.settings.carts")
