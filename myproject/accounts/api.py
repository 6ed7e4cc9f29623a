"""Registration over HTTP."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from myproject.accounts.actions import register_user
from myproject.api.idempotency import idempotent
from myproject.api.throttles import CredentialsThrottle


class RegistrationSerializer(serializers.Serializer[Any]):
    """What a new customer gives."""

    email = serializers.EmailField(max_length=191)
    password = serializers.CharField(max_length=128, write_only=True, trim_whitespace=False)
    full_name = serializers.CharField(max_length=150, required=False, allow_blank=True, default="")


class AccountSerializer(serializers.Serializer[Any]):
    """A new account."""

    id = serializers.IntegerField()
    email = serializers.EmailField()


class RegistrationView(APIView):
    """Create an account."""

    permission_classes = (AllowAny,)
    authentication_classes = ()
    throttle_classes = (CredentialsThrottle,)

    @extend_schema(request=RegistrationSerializer, responses={201: AccountSerializer}, operation_id="create_user")
    @idempotent()
    def post(self, request: Request) -> Response:
        """Create the account and send the welcome mail."""
        data = RegistrationSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        user = register_user(**data.validated_data, now=timezone.now())
        return Response({"id": user.pk, "email": user.email}, status=status.HTTP_201_CREATED)
