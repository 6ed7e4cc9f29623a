"""The home page, its live part, and health."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from myproject.operations.panels import registered_panels
from myproject.operations.queries import health, relay_states, running_state, schedules


def _may_see_figures(request: HttpRequest) -> bool:
    """Tell whether the caller may see the business's figures: staff, or anybody on a developer's machine."""
    return settings.ENVIRONMENT == "development" or (request.user.is_authenticated and request.user.is_staff)


@never_cache
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Show where everything is and, to those who may see it, the last reconciliation."""
    panels = [
        {"template": panel.template, "content": panel.load()}
        for panel in registered_panels()
        if _may_see_figures(request)
    ]
    links = [panel.link for panel in registered_panels() if panel.link]
    context = {
        "panels": panels,
        "links": links,
        "flower_url": settings.FLOWER_URL,
        "figures": _may_see_figures(request),
        "now": timezone.now(),
    }
    return render(request, "operations/home.html", context)


@never_cache
@require_GET
def running(request: HttpRequest) -> HttpResponse:
    """Show queues, workers, relays and schedules; the home page loads this part again every few seconds.

    Asked for by its address, without JavaScript, it is a page of its own.
    """
    if not _may_see_figures(request):
        return HttpResponse(status=404)
    context = {
        "running": running_state(),
        "relays": relay_states(),
        "schedules": schedules(),
        "now": timezone.now(),
    }
    part = request.headers.get("HX-Request") == "true"
    return render(request, "operations/running.html" if part else "operations/running_page.html", context)


@never_cache
@require_GET
def health_view(request: HttpRequest) -> JsonResponse:
    """Answer 200 when database, broker and cache can be used, else 503 naming what cannot.

    A relay that is away or late shows in `checks` and in the status "degraded", and does not take the server away from
    its users.
    """
    report = health(now=timezone.now())
    return JsonResponse(report, status=503 if report["status"] == "failing" else 200)


@never_cache
@require_GET
def live_view(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as the process serves requests at all."""
    return JsonResponse({"status": "ok"})
