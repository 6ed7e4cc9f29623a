"""Tasks of product search."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from myproject.jobs.retries import RETRY
from search import actions


@shared_task(**RETRY)
def index_products(product_ids: list[int]) -> int:
    """Bring the search documents of some products up to date.

    Does: reads the products and writes their documents; those no longer active leave the index.
    Twice: the second run writes the same documents; rows are read under a lock, so an older state never wins.
    Retries: none of its own; a deadlock or a lock wait begins the batch again.
    Enqueued by: every action of the catalogue that changes products, in batches of 1,000, when it commits.
    """
    return actions.index_products(product_ids=product_ids, now=timezone.now())


@shared_task(mode="lease", on_unknown="resend", unique=True, **RETRY)
def rebuild_index() -> int:
    """Build the search index anew.

    Does: writes every active product's document, takes out the others, rebuilds the full-text structure.
    Twice: the second run writes the same documents, so a build that died begins again; searches are answered
    meanwhile, and while a build is open another call is that one.
    Retries: none of its own; trouble of the database passes and uses up nothing.
    Enqueued by: operators, from the admin's page of index states.
    """
    return actions.rebuild_index(now=timezone.now())


@shared_task(mode="lease", on_unknown="resend", unique=True, **RETRY)
def verify_index() -> dict[str, int]:
    """Compare the search index with the catalogue and repair what differs.

    Does: compares counts and versions of documents and products, writes what is missing or outdated.
    Twice: the second run finds nothing to repair, so one that died begins again; while one is open, another call is
    that one.
    Retries: none of its own; the next comparison goes on.
    Enqueued by: the end of a product import, the schedule, operators from the admin's page of index states.
    """
    report = actions.verify_index(repair=True, now=timezone.now())
    return {"documents": report.documents, "differences": report.differences}
