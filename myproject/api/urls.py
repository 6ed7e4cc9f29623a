"""Addresses under /api/ that belong to no app."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from myproject.accounts.api import RegistrationView
from myproject.api.views import SignOutView, TaskView, TokenView

urlpatterns = [
    path("auth/token", TokenView.as_view(), name="token"),
    path("auth/logout", SignOutView.as_view(), name="logout"),
    path("users", RegistrationView.as_view(), name="registration"),
    path("tasks/<str:task_id>", TaskView.as_view(), name="task"),
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="api-docs"),
]
