"""What changes accounts."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import Permission
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from knox.crypto import hash_token
from knox.models import get_token_model
from knox.settings import CONSTANTS

from myproject.accounts.models import User
from myproject.errors import InvalidInput
from myproject.jobs.sending import enqueue


def register_user(*, email: str, password: str, full_name: str, now: datetime) -> User:
    """Create a person's account and send the welcome mail once it is committed. Raises InvalidInput."""
    try:
        validate_password(password, User(email=email, full_name=full_name))
    except ValidationError as error:
        raise InvalidInput(f"password: {' '.join(error.messages)}", field="password") from None
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, password, full_name=full_name, date_joined=now)
            enqueue("notifications.tasks.send_welcome_email", user.pk)
    except IntegrityError:
        raise InvalidInput("email: there is an account with this mail address already.", field="email") from None
    return user


def ensure_admin(*, email: str, password: str) -> User:
    """Return the administrator with this address, made or given this password where that is needed."""
    user = User.objects.filter(email=email.lower()).first()
    if user is None:
        return User.objects.create_superuser(email, password)
    if not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    return user


def ensure_service_account(*, email: str, token: str, permissions: tuple[str, ...]) -> User:
    """Return the service account with this address, this API token and just these permissions ("app.codename")."""
    user, _ = User.objects.get_or_create(email=email.lower(), defaults={"is_service": True, "password": "!"})
    wanted = [
        Permission.objects.get(content_type__app_label=app, codename=codename)
        for app, _, codename in (name.partition(".") for name in permissions)
    ]
    user.user_permissions.set(wanted)
    token_model = get_token_model()
    digest = hash_token(token)
    if not token_model.objects.filter(user=user, digest=digest).exists():
        token_model.objects.filter(user=user).delete()
        token_model(user=user, digest=digest, token_key=token[: CONSTANTS.TOKEN_KEY_LENGTH]).save(force_insert=True)
    return user


def delete_expired_sessions(*, now: datetime) -> int:
    """Delete browser sessions that have expired and return how many."""
    deleted, _ = Session.objects.filter(expire_date__lt=now).delete()
    return deleted
