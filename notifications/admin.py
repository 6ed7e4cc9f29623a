"""Messages in the admin: read, and give failed ones another round."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from myproject.errors import AppError
from notifications.actions import retry_message
from notifications.models import Message
from notifications.states import MessageStatus


@admin.register(Message)
class MessageAdmin(admin.ModelAdmin[Message]):
    """Messages are made by the shop, never by hand."""

    list_display = ("id", "business_event", "channel", "template", "status", "attempts", "sent_at")
    list_filter = ("status", "channel", "template")
    search_fields = ("business_event", "recipient", "message_id")
    actions = ("send_again",)
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds messages by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """Nobody edits messages."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Message | None = None) -> bool:
        """Nobody deletes messages: the row is what keeps a mail from being sent twice."""
        return False

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Who may change messages may send failed ones again."""
        return request.user.has_perm("notifications.change_message")

    @admin.action(description="Send failed messages again", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        """Give each failed message of the selection another round."""
        failed = list(queryset.filter(status=MessageStatus.FAILED).values_list("pk", flat=True))
        now = timezone.now()
        refused = 0
        for pk in failed:
            try:
                retry_message(message_id=pk, now=now)
            except AppError:  # somebody else was first
                refused += 1
        self.message_user(request, f"{len(failed) - refused} messages will be sent again.", messages.SUCCESS)
        if refused:
            text = f"{refused} messages are no longer failed and were left alone."
            self.message_user(request, text, messages.WARNING)
