"""Accounts in the admin: a mail address instead of a user name."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm

from myproject.accounts.models import User


class UserForm(AdminUserCreationForm):
    """A new account: its mail address and, unless it only uses tokens, its password."""

    class Meta:
        model = User
        fields = ("email",)
        field_classes: dict[str, type[forms.Field]] = {}


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User]):
    """Accounts, groups and permissions."""

    add_form = UserForm
    ordering = ("email",)
    list_display = ("email", "full_name", "is_staff", "is_service", "is_active")
    list_filter = ("is_staff", "is_service", "is_active", "groups")
    search_fields = ("email", "full_name")
    fieldsets = (
        (None, {"fields": ("email", "password", "full_name")}),
        ("May", {"fields": ("is_active", "is_staff", "is_superuser", "is_service", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),)
