"""The phases of a replay; each can be repeated and goes on where it was."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from datetime import datetime
from typing import Any, TypeVar

from orders.models import CancellationRequest, Order
from orders.replay.client import Connections, ReplayClient, Unreachable
from orders.replay.figures import Work, count_waiting_webhooks, count_work, read_platform, read_provider
from orders.replay.plan import BatchPlan, CancellationDocument, Sale
from orders.replay.preparation import prepare_batch
from orders.replay.progress import Watcher
from orders.replay.reconciliation import reconcile
from orders.replay.report import Pace, build_report
from orders.replay.sending import send_all
from orders.states import CancellationStatus, OrderStatus

Item = TypeVar("Item")

ACTOR = "command:replay_orders"

POLL_SECONDS = 0.5
"""A look is five counts, about 10 ms in a batch of 2,749 orders: twice a second is 2 % of one core."""

POLL_SHARE = 50
"""In larger batches a look takes longer; the pause is at least this many times as long, which keeps it at 2 %."""

QUIET_SECONDS = 5.0
"""The stand-in delivers a webhook a few milliseconds after its cause."""


class Run:
    """One process's work on one batch."""

    def __init__(
        self,
        *,
        plan: BatchPlan,
        source: str,
        connections: Connections,
        workers: int,
        patience: float,
        watcher: Watcher,
        check: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._source = source
        self._connections = connections
        self._workers = workers
        self._patience = patience
        self._watcher = watcher
        self._check = check
        self._stop = threading.Event()
        self._trouble: list[str] = []

    def carry_out(self, *, now: datetime) -> tuple[dict[str, Any], bool]:
        """Go through all phases; return the report and whether everything agrees.

        Raises BatchLost when another process took the batch over, and httpx.HTTPError when the provider's record cannot
        be read.
        """
        started, before = time.monotonic(), count_work(source=self._source)
        try:
            self._go_through(now=now)
        except Unreachable as error:  # what is missing is named below, and the next run goes on from there
            self._trouble.append(str(error))
        after = count_work(source=self._source)
        pace = Pace(
            seconds=time.monotonic() - started,
            orders=after.orders_processed - before.orders_processed,
            tasks=after.run - before.run,
        )
        return self._reconcile(after, pace)

    def _go_through(self, *, now: datetime) -> None:
        prepare_batch(plan=self._plan, source=self._source, actor=ACTOR, now=now)
        self._send_sales()
        stuck = 0 if self._wait_for_orders() else count_work(source=self._source).open
        self._send_cancellations()
        self._wait_for_the_rest(stuck=stuck)
        wait_for_quiet(self._connections.provider_url)

    def _send_sales(self) -> None:
        """Send the sales that are not on the platform and paid already."""
        open_statuses = (OrderStatus.PENDING_PAYMENT,)
        settled = set(
            Order.objects.filter(source=self._source).exclude(status__in=open_statuses).values_list("number", flat=True)
        )
        sales = [sale for sale in self._plan.sales if sale.number not in settled]
        self._send("orders placed and paid", [[sale] for sale in sales], ReplayClient.place_order, _number_of_sale)

    def _send_cancellations(self) -> None:
        """Send the documents the platform does not have, those that share an order one after the other.

        A document that reaches an order which is not processed waits for the next run, and is named.
        """
        known = set(CancellationRequest.objects.filter(source=self._source).values_list("number", flat=True))
        waiting = [document for document in self._plan.cancellations if document.number not in known]
        through = Order.objects.filter(source=self._source, status__in=(OrderStatus.PROCESSED, OrderStatus.CANCELLED))
        documents, held = hold_back(waiting, processed=set(through.values_list("number", flat=True)))
        self._trouble += held
        self._send("cancellations sent", group_documents(documents), ReplayClient.cancel, _number_of_document)

    def _send(
        self,
        name: str,
        groups: Sequence[Sequence[Item]],
        send: Callable[[ReplayClient, Item], None],
        number: Callable[[Item], str],
    ) -> None:
        total = sum(len(group) for group in groups)
        if not total:
            return
        self._watcher.begin(name, total)
        sent = send_all(
            groups=groups,
            send=send,
            name=number,
            make_client=self._make_client,
            workers=self._workers,
            stop=self._stop,
            watch=self._watch,
        )
        self._trouble += [f"invoice {number} was refused: {reason}" for number, reason in sent.refused.items()]
        self._watcher.reach(sent.done)

    def _make_client(self) -> ReplayClient:
        return ReplayClient(
            connections=self._connections, source=self._source, patience=self._patience, stop=self._stop
        )

    def _watch(self, done: int) -> None:
        self._watcher.reach(done)
        self._check()

    def _wait_for_orders(self) -> bool:
        expected = len(self._plan.sales) - len(self._trouble)
        return self._wait("orders processed", expected, lambda work: work.orders_processed)

    def _wait_for_the_rest(self, *, stuck: int) -> bool:
        """Wait for refunds, mails and webhooks: for all that a worker still owes but the ``stuck`` given up before."""
        expected = count_work(source=self._source).parts.total()
        if not self._wait("cancellations completed", expected, _count_completed):
            return False
        owed = count_work(source=self._source).open - stuck
        return owed <= 0 or self._wait("mails and look-ups", owed, lambda work: owed + stuck - work.open)

    def _wait(self, name: str, expected: int, measure: Callable[[Work], int]) -> bool:
        """Wait until ``measure`` reaches ``expected``; give up when nothing has moved for as long as the patience."""
        self._watcher.begin(name, expected)
        seen, moved_at = None, time.monotonic()
        while True:
            looked_at = time.monotonic()
            work = count_work(source=self._source)
            cost = time.monotonic() - looked_at
            self._watcher.reach(measure(work))
            self._check()
            if measure(work) >= expected:
                return True
            if work != seen:
                seen, moved_at = work, time.monotonic()
            elif time.monotonic() - moved_at > self._patience:
                self._watcher.note(f"{name}: nothing has moved for {self._patience:.0f} s, giving up")
                return False
            time.sleep(max(POLL_SECONDS, POLL_SHARE * cost))

    def _reconcile(self, work: Work, pace: Pace) -> tuple[dict[str, Any], bool]:
        # The provider first: what it holds by now the platform knew before, also a sale of the shop meanwhile.
        provider = read_provider(
            base_url=self._connections.provider_url,
            api_key=self._connections.provider_key,
            merchant_id=self._connections.merchant_id,
        )
        platform = read_platform(source=self._source)
        outcome = reconcile(plan=self._plan, platform=platform, provider=provider, work=work)
        report = build_report(
            plan=self._plan,
            platform=platform,
            provider=provider,
            work=work,
            reconciliation=outcome,
            trouble=self._trouble,
            pace=pace,
        )
        return report, outcome.reconciled and not self._trouble


def wait_for_quiet(provider_url: str) -> None:
    """Give the provider a moment to deliver its last webhooks, so that nothing is written after the report.

    They are hints that bring no news any more, so one that stays away (a fault, a site that is down) is not waited for
    longer than QUIET_SECONDS.
    """
    deadline = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < deadline:
        if not count_waiting_webhooks(base_url=provider_url):
            return
        time.sleep(POLL_SECONDS / 5)


def hold_back(
    documents: Sequence[CancellationDocument], *, processed: Set[str]
) -> tuple[list[CancellationDocument], list[str]]:
    """Return the documents that can be sent, and a sentence for each that has to wait.

    A document waits for an order that is not processed, and for an earlier document that waits and reaches an order of
    its own, because partial cancellations of one line share its pennies in the order in which they come.
    """
    ready, held = [], []
    blocked: dict[str, str] = {}
    for document in documents:
        reasons = [
            blocked.get(order, "") or f"order {order} is not processed"
            for order in document.orders
            if order in blocked or order not in processed
        ]
        if not reasons:
            ready.append(document)
            continue
        held.append(f"cancellation {document.number} is held back: {reasons[0]}")
        for order in document.orders:
            if order in processed:
                blocked.setdefault(order, f"it comes after {document.number}")
    return ready, held


def group_documents(documents: Sequence[CancellationDocument]) -> list[list[CancellationDocument]]:
    """Put documents that reach a common order into one group, in file order; a document of its own is its own group.

    Partial cancellations of one line share its pennies in the order in which they come, so that order must not depend
    on which thread is faster.
    """
    leader: dict[str, str] = {}

    def find(order: str) -> str:
        while leader.setdefault(order, order) != order:
            leader[order] = order = leader[leader[order]]
        return order

    for document in documents:
        for order in document.orders:
            leader[find(order)] = find(document.orders[0])
    groups: defaultdict[str, list[CancellationDocument]] = defaultdict(list)
    for document in documents:
        key = f"orders of {find(document.orders[0])}" if document.orders else f"alone {document.number}"
        groups[key].append(document)
    return list(groups.values())


def _number_of_sale(sale: Sale) -> str:
    return sale.number


def _number_of_document(document: CancellationDocument) -> str:
    return document.number


def _count_completed(work: Work) -> int:
    return work.parts[CancellationStatus.COMPLETED]
