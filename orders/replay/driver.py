"""Replays one file from its first byte to its report; the way in for the command."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from orders.replay.batches import Heartbeat, claim_batch, find_batch, finish_batch, release_batch
from orders.replay.client import Connections
from orders.replay.phases import Run
from orders.replay.plan import plan_batch
from orders.replay.progress import Watcher
from orders.replay.reader import read_file
from orders.states import BatchStatus

READY_SECONDS = 15.0
"""How long a site that is just starting may take before the first request."""

PROBE_PAUSE = 0.5


class NotReady(Exception):
    """The run cannot start; read at the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to."""

    report: dict[str, Any]
    reconciled: bool
    repeated: bool = False
    """The file was replayed before; nothing was done."""


def replay_file(
    *,
    path: Path,
    connections: Connections,
    workers: int,
    patience: float,
    watcher: Watcher,
    clock: Callable[[], datetime],
) -> Outcome:
    """Replay a file, or go on with it, or report what an earlier run found.

    Raises RetailFileError, NotReady and BatchBusy before anything is done; BatchLost, httpx.HTTPError and
    KeyboardInterrupt leave the batch to be taken up by the next run.
    """
    file = read_file(path)
    known = find_batch(content_hash=file.content_hash)
    if known is not None and known.status == BatchStatus.RECONCILED:
        return Outcome(report=known.report or {}, reconciled=True, repeated=True)
    plan = plan_batch(file=file)
    if plan.rejections and not plan.totals.invoices:
        first = plan.rejections[0]
        raise NotReady(f"no row of {path.name} can be taken; the first, line {first.line_number}: {first.reason}")
    check_ready(connections)
    batch = claim_batch(content_hash=file.content_hash, filename=path.name, clock=clock)
    try:
        if batch.status == BatchStatus.RECONCILED:  # another process finished it while this one read the file
            release_batch(batch=batch)
            return Outcome(report=batch.report or {}, reconciled=True, repeated=True)
        with Heartbeat(batch=batch, clock=clock) as heartbeat:
            run = Run(
                plan=plan,
                source=batch.source,
                connections=connections,
                workers=workers,
                patience=patience,
                watcher=watcher,
                check=heartbeat.check,
            )
            report, reconciled = run.carry_out(now=clock())
        finish_batch(batch=batch, reconciled=reconciled, report=report, now=clock())
    except BaseException:
        release_batch(batch=batch)
        raise
    return Outcome(report=report, reconciled=reconciled)


def check_ready(connections: Connections) -> None:
    """Make sure that the platform takes the token and the provider the key, before anything is booked.

    Raises NotReady.
    """
    probes: tuple[tuple[str, dict[str, Any]], ...] = (
        (f"{connections.site_url}/api/orders", {"headers": {"Authorization": f"Token {connections.token}"}}),
        (
            f"{connections.provider_url}/sandbox/record/totals?orders=false",
            {"auth": (connections.provider_key, ""), "headers": {"x-merchantid": connections.merchant_id}},
        ),
    )
    deadline = time.monotonic() + READY_SECONDS
    for url, options in probes:
        problem = _probe(url, options)
        while problem and time.monotonic() < deadline:
            time.sleep(PROBE_PAUSE)
            problem = _probe(url, options)
        if problem:
            raise NotReady(f"{url}: {problem}")


def _probe(url: str, options: dict[str, Any]) -> str:
    try:
        response = httpx.get(url, timeout=5, trust_env=False, **options)
    except httpx.TransportError as error:
        return f"no answer ({type(error).__name__})"
    if response.status_code in (401, 403):
        raise NotReady(f"{url}: the credentials are not accepted ({response.status_code})")
    return "" if response.status_code == 200 else f"answers {response.status_code}"
