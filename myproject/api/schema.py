"""What the documentation of the API says about every endpoint by itself: the required header and the errors."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from myproject.api.problems import CONTENT_TYPE

IDEMPOTENCY_KEY = OpenApiParameter(
    name="Idempotency-Key",
    type=OpenApiTypes.STR,
    location=OpenApiParameter.HEADER,
    required=True,
    description="New for each new request, the same when a request is sent again: its work is done once.",
)

#: What each error status means here; which of them an endpoint can answer follows from the endpoint.
ERRORS = {
    400: "The request cannot be read, or a required header is missing.",
    401: "Nobody is signed in, or the credentials are wrong.",
    403: "The caller may not do this.",
    404: "There is no such thing, or it is not the caller's to see.",
    409: "The request does not fit the present state, or the first one with this key is still running.",
    413: "The body is larger than the limit that the answer names.",
    415: "The body is not JSON.",
    422: "A value cannot be accepted; `errors` names each field.",
    429: "Too many requests; `Retry-After` tells when to come back.",
    503: "It could not be done now; the same request may succeed after `Retry-After` seconds.",
}


class FieldErrorSerializer(serializers.Serializer[Any]):
    """One value that cannot be accepted."""

    field = serializers.CharField(help_text="Path of the field, for example lines[3].quantity, or a header's name.")
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """Problem details (RFC 9457)."""

    type = serializers.CharField(help_text="urn:problem: and the code.")
    title = serializers.CharField(help_text="The status in words.")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable name of the error, for programs.")
    detail = serializers.CharField(help_text="A sentence for people.")
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]  # a declared field


class ProblemAutoSchema(AutoSchema):
    """Adds the `Idempotency-Key` header where a view requires it, and each error that an endpoint can answer."""

    def get_override_parameters(self) -> Any:
        """Return the parameters that a view declares, and the header of an idempotent one."""
        parameters = list(super().get_override_parameters())
        return [*parameters, IDEMPOTENCY_KEY] if self._is_idempotent() else parameters

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Return the operation with its errors as problem details."""
        operation = super().get_operation(*args, **kwargs)
        if operation is not None:
            problem = self.resolve_serializer(ProblemSerializer, "response").ref
            for status, description in self._errors(operation).items():
                answer = {"description": description, "content": {CONTENT_TYPE: {"schema": problem}}}
                operation["responses"].setdefault(status, answer)
        return operation

    def _is_idempotent(self) -> bool:
        return getattr(getattr(self.view, self.method.lower(), None), "is_idempotent", False)

    def _errors(self, operation: dict[str, Any]) -> dict[str, str]:
        reads_body = "requestBody" in operation
        takes_values = any(parameter["in"] == "query" for parameter in operation.get("parameters", ()))
        answers = {
            400: reads_body or self._is_idempotent(),
            401: bool(self.view.get_authenticate_header(self.view.request)),
            403: bool(self.view.get_authenticators()),
            404: "{" in self.path or takes_values,
            409: self._is_idempotent(),
            413: reads_body,
            415: reads_body,
            422: reads_body or takes_values or self._is_idempotent(),
            429: bool(self.view.get_throttles()),
            503: True,
        }
        found = {str(status): ERRORS[status] for status, possible in answers.items() if possible}
        return {**found, "default": "Any other error."}
