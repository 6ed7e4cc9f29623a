"""How bodies of requests are read."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from rest_framework import parsers
from rest_framework.exceptions import ParseError


class JSONParser(parsers.JSONParser):
    """JSON of at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes, nested as deeply as Python can read.

    The REST framework reads the stream itself, past Django's limit, unless somebody asked for the body before.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the parsed body. Raises ParseError, and RequestDataTooBig for a body over the limit."""
        body = parser_context["request"]._request.body
        try:
            return super().parse(BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - the values are nested too deeply.") from None
