"""Endpoints that belong to no app: tokens and task status."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth import authenticate
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from knox.models import get_token_model
from knox.views import LogoutView
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from myproject.accounts.models import User
from myproject.api.receipts import read_task
from myproject.api.throttles import CredentialsThrottle


class CredentialsSerializer(serializers.Serializer[Any]):
    """What a person signs in with."""

    email = serializers.EmailField()
    password = serializers.CharField(write_only=True, trim_whitespace=False)


class TokenSerializer(serializers.Serializer[Any]):
    """A new token; it is shown once and stored as a hash."""

    token = serializers.CharField()
    expiry = serializers.DateTimeField(allow_null=True)


class TaskStateSerializer(serializers.Serializer[Any]):
    """The state of a task."""

    id = serializers.CharField()
    name = serializers.CharField()
    subject = serializers.CharField()
    state = serializers.CharField(
        help_text="PENDING, STARTED, PROGRESS, RETRY, SUCCESS, FAILURE, REVOKED or EXPIRED. EXPIRED: the task was "
        "started longer ago than results are kept and nothing is known of it any more; ask its subject, for example "
        "the order, what became of it."
    )
    ready = serializers.BooleanField(help_text="Whether there is nothing to wait for: it ended, or it is EXPIRED.")
    progress = serializers.JSONField(allow_null=True)
    error = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class TokenView(APIView):
    """Sign in with mail address and password."""

    permission_classes = (AllowAny,)
    authentication_classes = ()
    throttle_classes = (CredentialsThrottle,)

    def get_authenticate_header(self, request: Request) -> str:
        """Name the scheme in the 401 of wrong credentials; without authentication classes nobody else would."""
        return "Token"

    @extend_schema(request=CredentialsSerializer, responses=TokenSerializer, operation_id="create_token")
    def post(self, request: Request) -> Response:
        """Return a new token for `Authorization: Token ...`.

        The one POST that makes something and takes no `Idempotency-Key`: answers under a key are stored, and a token
        must not be. A request that is sent again gets another token; the first stays valid until it is given back.
        """
        credentials = CredentialsSerializer(data=request.data)
        credentials.is_valid(raise_exception=True)
        user = authenticate(
            request,
            username=credentials.validated_data["email"].lower(),
            password=credentials.validated_data["password"],
        )
        if user is None:
            raise AuthenticationFailed("Mail address and password do not belong together.")
        row, token = get_token_model().objects.create(user)
        return Response({"token": token, "expiry": row.expiry})


@extend_schema_view(post=extend_schema(request=None, responses={204: None}, operation_id="delete_token"))
class SignOutView(LogoutView):
    """Give back the token that the request was made with."""


class TaskView(APIView):
    """The state of a task that the caller started."""

    @extend_schema(responses=TaskStateSerializer, operation_id="read_task")
    def get(self, request: Request, task_id: str) -> Response:
        """Return the state; another user's task is a 404."""
        user = cast(User, request.user)  # the default permission lets nobody else in
        return Response(TaskStateSerializer(read_task(task_id=task_id, user=user, now=timezone.now())).data)
