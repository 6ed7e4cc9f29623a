"""Writes of search: keeping the index current, building it anew, comparing it with the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from myproject.states import transition
from search.backends import VerifyReport, search_index
from search.models import IndexState
from search.states import INDEX, IndexStatus

logger = structlog.get_logger(__name__)


def index_products(*, product_ids: Sequence[int], now: datetime) -> int:
    """Bring the documents of these products up to date; return how many were written or taken out."""
    index = search_index()
    _begin(index.name, only_from=IndexStatus.EMPTY, now=now)
    return index.index(product_ids)


def rebuild_index(*, now: datetime) -> int:
    """Write every document anew; return how many there are. Searches go on meanwhile."""
    index = search_index()
    _begin(index.name, now=now)
    documents = index.rebuild()
    _finish(index.name, now=now, documents=documents)
    return documents


def verify_index(*, repair: bool, now: datetime) -> VerifyReport:
    """Compare the index with the catalogue, put right what differs if asked to, and keep the outcome."""
    index = search_index()
    if repair:
        _begin(index.name, only_from=IndexStatus.EMPTY, now=now)
    report = index.verify(repair=repair)
    if report.differences or report.damaged:
        logger.warning(
            "search index differed", missing=report.missing, outdated=report.outdated, excess=report.excess,
            damaged=report.damaged, repaired=report.repaired,
        )  # fmt: skip
    if repair or not report.differences:
        repaired = report.differences if report.repaired else 0
        _finish(index.name, now=now, documents=report.documents, verified_at=now, repaired=repaired)
    return report


def _locked(name: str) -> IndexState:
    IndexState.objects.get_or_create(name=name)
    return IndexState.objects.select_for_update().get(name=name)


def _begin(name: str, *, now: datetime, only_from: str | None = None) -> None:
    """Note that the index is being built; with `only_from` only when it is in that state."""
    if only_from is not None and IndexState.objects.filter(name=name).exclude(status=only_from).exists():
        return  # the common case costs one read and no lock
    with transaction.atomic():
        state = _locked(name)
        if only_from is None or state.status == only_from:
            transition(state, IndexStatus.BUILDING, table=INDEX, now=now)


def _finish(name: str, *, now: datetime, **changes: Any) -> None:
    """Note the figures and, when it was being built, that the index covers the catalogue."""
    with transaction.atomic():
        state = _locked(name)
        if state.status == IndexStatus.BUILDING:
            transition(state, IndexStatus.READY, table=INDEX, now=now, built_at=now, **changes)
        else:
            IndexState.objects.filter(pk=state.pk).update(updated_at=now, **changes)
