"""Old task names, in one table: the names that the mission's documents use, and what each stands for here.

A producer that was written to the documents sends `tasks.initiate_juspay_refund`; a stock worker would acknowledge and
drop a name that it does not know. Here each old name is a task of its own that runs its target's very body with the
target's options, so nothing is sent twice and `self.retry` goes out under a name that is registered. A name whose
target is planned for a later version is registered too and fails with TaskPlannedError, which says so.

Celery's router asks `resolve`, so that an old name goes to its target's queue. Celery parts relied on:
`Celery.tasks`, `Task.bind`, `celery.app.autoretry.add_autoretry_behaviour` (Celery 5.7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from celery import Celery, Task
from celery.app.autoretry import add_autoretry_behaviour

from myproject.errors import TerminalError


class TaskPlannedError(TerminalError):
    """The task belongs to a later version. Read by the operator who sees the failed task."""

    code = "task_planned"


@dataclass(frozen=True, kw_only=True)
class OldTask:
    """One task of the documents: its function, the modules they import it from, and the task that it stands for here.

    `planned` is the part of the roadmap (see docs/mission.md) that brings the target; empty when it is here.
    """

    function: str
    modules: tuple[str, ...]
    target: str
    planned: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which a message for it may arrive: by module, and bare; never the target's own."""
        names = (*(f"{module}.{self.function}" for module in self.modules), self.function)
        return tuple(name for name in names if name != self.target)


def _old(function: str, modules: str, target: str, *, planned: str = "") -> OldTask:
    return OldTask(function=function, modules=tuple(modules.split()), target=target, planned=planned)


# The first document's app is Celery("tasks", include=["task_helper", "task_helpers", "split_helper"]): its helpers'
# tasks are also named by the app.
_HELPERS = "task_helper task_helpers split_helper tasks"

OLD_TASKS: tuple[OldTask, ...] = (
    # Orders and money
    _old("process_order_cancellation", _HELPERS, "orders.tasks.process_order_cancellation"),
    _old("initiate_juspay_refund", "tasks", "orders.tasks.initiate_juspay_refund"),
    _old("initiate_cashgram_refund", "tasks", "orders.tasks.initiate_cashgram_refund", planned="C"),
    _old("process_order", "tasks", "orders.tasks.process_order"),
    _old("validate_order", "tasks", "orders.tasks.validate_order"),
    _old("charge_payment", "tasks", "orders.tasks.charge_payment"),
    _old("send_confirmation_email", "tasks", "orders.tasks.send_confirmation_email"),
    _old("process_bulk_order", "orders.tasks tasks", "orders.tasks.process_bulk_order", planned="C"),
    _old("collect_validation_results", "tasks", "orders.tasks.collect_validation_results", planned="C"),
    _old("charge_batch_payment", "tasks", "orders.tasks.charge_batch_payment", planned="C"),
    _old("send_confirmation", "orders.tasks tasks", "orders.tasks.send_order_confirmation"),
    _old("process_webhook", "orders.tasks tasks", "orders.tasks.process_webhook", planned="C"),
    _old("notify_admin", "tasks", "orders.tasks.notify_admin", planned="C"),
    _old("generate_report", "reports.tasks myapp.tasks tasks", "orders.tasks.generate_report", planned="C"),
    _old("call_external_api", "orders.tasks tasks", "orders.tasks.call_external_api", planned="C"),
    _old("fetch_data", "orders.tasks tasks", "orders.tasks.fetch_data", planned="C"),
    # The catalogue and what follows from it
    _old("syncDgraphProduct", "tasks", "search.tasks.sync_dgraph_product", planned="D"),
    _old("syncDgraphCategory", "tasks", "search.tasks.sync_dgraph_category", planned="D"),
    _old("sync_all_products", "tasks", "search.tasks.sync_all_products", planned="D"),
    _old("sync_kinesis_products", "tasks", "catalog.tasks.sync_kinesis_products", planned="D"),
    _old("insert_into_kinesis", "tasks", "catalog.tasks.insert_into_kinesis", planned="D"),
    _old("sync_kinesis_orders", "tasks", "orders.tasks.sync_kinesis_orders", planned="D"),
    _old("invalidate_pdp_cache", "utils.tasks_helper tasks", "catalog.tasks.invalidate_pdp_cache", planned="D"),
    _old(
        "invalidate_category_cache", "utils.tasks_helper tasks", "catalog.tasks.invalidate_category_cache", planned="D"
    ),
    _old("generate_sitemap", "tasks", "catalog.tasks.generate_sitemap", planned="D"),
    _old("sitemap_main", "sitemap", "catalog.tasks.generate_sitemap", planned="D"),
    _old("sync_inventory", "inventory.tasks", "catalog.tasks.sync_external_inventory", planned="D"),
    _old("import_feed", "myapp.tasks", "catalog.tasks.import_feed", planned="D"),
    _old("resize_image", "catalog.tasks", "catalog.tasks.make_rendition", planned="D"),
    _old("upload_to_cdn", "catalog.tasks", "catalog.tasks.publish_renditions", planned="D"),
    # People
    _old("cleanup_sessions", "tasks", "myproject.accounts.tasks.cleanup_sessions"),
    _old("cleanup_expired_sessions", "accounts.tasks", "myproject.accounts.tasks.cleanup_sessions"),
    _old("send_welcome_email", "accounts.tasks orders.tasks tasks", "notifications.tasks.send_welcome_email"),
    _old("send_daily_digest", "newsletter.tasks", "notifications.tasks.send_daily_digest", planned="E"),
    _old(
        "send_delivered_mail_and_sms",
        "controllers.OrderDeliverMailAndSmsController",
        "orders.tasks.send_delivered_mail_and_sms",
        planned="E",
    ),
    _old(
        "whatsapp_msg_trigger",
        "controllers.CommunicationController",
        "notifications.tasks.whatsapp_msg_trigger",
        planned="E",
    ),
    _old(
        "sync_user_attributes_moengage",
        "libs.helper",
        "notifications.tasks.sync_user_attributes_moengage",
        planned="E",
    ),
    _old("send_email", "celery_app myapp.tasks tasks", "notifications.tasks.send_email_task", planned="E"),
    _old("send_email_task", "myapp.tasks tasks", "notifications.tasks.send_email_task", planned="E"),
    _old("send_bulk_email", "myapp.tasks tasks", "notifications.tasks.send_bulk_email", planned="E"),
)

_TARGETS: dict[str, str] = {name: old.target for old in OLD_TASKS for name in old.names}
_PLANNED: dict[str, str] = {old.target: old.planned for old in OLD_TASKS if old.planned}


def resolve(name: str) -> str:
    """Return the present name of the task that is sent or asked for as `name`; a present name is returned as it is."""
    return _TARGETS.get(name, name)


def old_names(target: str) -> tuple[str, ...]:
    """Return every old name of the task that is named `target` now, in the order of the table."""
    return tuple(name for name, its_target in _TARGETS.items() if its_target == target)


def planned_targets() -> dict[str, str]:
    """Return the names of the tasks that later versions bring, each with its part of the roadmap."""
    return dict(_PLANNED)


def is_stand_in(task: Task) -> bool:
    """Tell whether a registered task only stands for another: an old name, or one that is planned."""
    return getattr(task, "stands_for", None) is not None


def register_aliases(app: Celery) -> None:
    """Register every old name, and every planned one, on `app`. Safe to call again after more tasks were imported.

    Call it when the apps' task modules are imported. A target that is neither there nor planned is a mistake which a
    test finds; its old names then fail like planned ones, because a worker that stops would hold up everything else.
    """
    tasks = app.tasks  # finalizes the app: tasks declared so far are in the registry
    for name, target in {**{planned: planned for planned in _PLANNED}, **_TARGETS}.items():
        registered = tasks.get(name)
        if registered is not None and not is_stand_in(registered):
            continue
        found = tasks.get(target)
        if registered is not None and found is not None and isinstance(registered, type(found)):
            continue
        if found is not None and not is_stand_in(found):
            tasks[name] = _make_alias(app, name=name, target=found)
        elif registered is None:
            _make_stand_in(app, name=name, target=target)


def _make_alias(app: Celery, *, name: str, target: Task) -> Task:
    """Return a task called `name` with the body, signature and options of `target`."""
    body: Any = type(target)
    options: dict[str, Any] = {
        "name": name,
        "stands_for": target.name,
        "__module__": body.__module__,
        "__doc__": body.__doc__,
        "__bound__": False,  # a request stack of its own: `self.request` never mixes with the target's
    }
    alias: Any = type(body.__name__, (body,), options)()
    alias.bind(app)
    add_autoretry_behaviour(alias)
    return alias


def _make_stand_in(app: Celery, *, name: str, target: str) -> None:
    """Register a task called `name` that says that `target` is not in this version."""
    called = f"task {name!r}" if name == target else f"task {name!r} (now {target!r})"
    sentence = f"The {called} is not available in this version; docs/mission.md tells what it does and when it comes."

    def fail(*_: Any, **__: Any) -> NoReturn:
        """Say that the task is not available in this version.

        Does: nothing, and fails with TaskPlannedError.
        Twice: fails again, nothing is changed.
        Retries: never.
        Enqueued by: producers that were written to the mission's documents.
        """
        raise TaskPlannedError(sentence, name=name, target=target)

    declare: Any = app.task
    declare(fail, name=name, stands_for=target, shared=False, typing=False, max_retries=0, ignore_result=False)
