"""Where each address is answered: the one place of the platform that names the apps, by string."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("myproject.api.urls")),
    path("api/", include("catalog.api.urls")),
    path("api/", include("search.api.urls")),
    path("api/", include("orders.api.urls")),
    path("webhooks/", include("orders.api.webhook_urls")),
    path("", include("myproject.operations.urls")),
]

handler400 = "myproject.api.problems.bad_request"
handler403 = "myproject.api.problems.forbidden"
handler404 = "myproject.api.problems.not_found"
handler500 = "myproject.api.problems.server_error"
