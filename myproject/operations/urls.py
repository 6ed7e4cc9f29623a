"""Addresses of the home page and health."""

from django.urls import path

from myproject.operations import views

urlpatterns = [
    path("", views.home, name="home"),
    path("running", views.running, name="running"),
    path("health/", views.health_view, name="health"),
    path("health/live", views.live_view, name="health-live"),
]
