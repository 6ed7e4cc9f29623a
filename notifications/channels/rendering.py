"""Templates to text: one folder per channel, one set of files per message and language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.template import TemplateDoesNotExist
from django.template.loader import get_template, select_template

from notifications.errors import UnknownTemplate


@dataclass(frozen=True)
class Rendered:
    """A message as it is sent. `html` is empty where the message is text only."""

    subject: str
    text: str
    html: str


def render_message(*, channel: str, template: str, language: str, context: dict[str, Any]) -> Rendered:
    """Render `template` of `channel`, in `language` or, where that is not shipped, in English.

    Raises UnknownTemplate.
    """
    base = f"notifications/{channel}/{template}"
    values = {**context, "site_url": settings.SITE_URL}
    try:
        text = select_template([f"{base}.{language}.txt", f"{base}.en.txt"]).render(values)
    except TemplateDoesNotExist as error:
        raise UnknownTemplate(
            f"template: there is no {template!r} for channel {channel!r}.", field="template"
        ) from error
    first, _, body = text.partition("\n")
    try:
        html = get_template(f"{base}.{language}.html").render(values)
    except TemplateDoesNotExist:
        html = ""
    return Rendered(subject=first.removeprefix("Subject:").strip(), text=body.strip() + "\n", html=html)
