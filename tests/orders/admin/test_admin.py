from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from myproject.accounts.models import User
from orders import models
from orders.actions.adjustments import record_adjustment
from orders.actions.cancel import process_order_cancellation
from orders.actions.cancel_requests import request_cancellation
from orders.actions.carts import set_cart_line
from orders.actions.process import process_order
from orders.models import Order, Refund, WebhookEvent
from tests.orders.factories import NOW, bring_order, line, make_user, make_variant, pay

pytestmark = pytest.mark.django_db

READ_ONLY = [
    models.Order, models.Payment, models.Refund, models.WebhookEvent, models.CancellationRequest,
    models.LedgerTransaction, models.FinancialAdjustment, models.ImportBatch, models.Cart,
]  # fmt: skip


def make_staff(*permissions: str) -> User:
    user = User.objects.create_user("staff@example.com", "a-long-password", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


@pytest.fixture
def shop(sent) -> Order:
    """A shop in which something of everything has happened."""
    make_variant()
    order = bring_order()
    pay(order)
    process_order(order_id=order.pk, now=NOW)
    request_cancellation(order_id=order.pk, lines={1: 2}, reason="", actor="user:1", now=NOW)
    process_order_cancellation(order_id=order.pk, now=NOW)
    record_adjustment(
        source="feed", number="A1", line=1, description="Adjust bad debt", amount_minor=-100, currency="GBP",
        occurred_at=NOW, actor="test", now=NOW,
    )  # fmt: skip
    set_cart_line(user=make_user(), sku="85123A", quantity=1, now=NOW)
    WebhookEvent.objects.create(
        provider="juspay", event_id="e1", event_name="ORDER_SUCCEEDED", provider_order_id="P1", received_at=NOW
    )
    models.ImportBatch.objects.create(content_hash="0", source="retail-0", filename="f.csv", started_at=NOW)
    return order


def pages_of(model) -> list[str]:
    name = f"admin:orders_{model._meta.model_name}"
    return [reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[model.objects.first().pk])]


@pytest.mark.parametrize("model", [*READ_ONLY, models.Customer])
def test_everything_can_be_looked_at(shop, client, model):
    client.force_login(User.objects.create_superuser("root@example.com", "a-long-password"))

    for page in pages_of(model):
        assert client.get(page).status_code == 200, page


def test_an_order_shows_its_lines_payments_refunds_and_history(shop, client):
    client.force_login(make_staff("view_order", "view_payment", "view_cancellation"))

    page = client.get(reverse("admin:orders_order_change", args=[shop.pk])).content.decode()

    payment, refund = shop.payments.get(), Refund.objects.get()
    for text in ("15.30 GBP", "85123A", payment.provider_order_id, refund.request_id, "cancellation.processed"):
        assert text in page
    assert 'name="_save"' not in page


def test_who_may_only_look_at_orders_sees_lines_and_history_but_no_payments(shop, client):
    client.force_login(make_staff("view_order"))

    page = client.get(reverse("admin:orders_order_change", args=[shop.pk])).content.decode()

    assert "85123A" in page and "order.imported" in page
    assert shop.payments.get().provider_order_id not in page


@pytest.mark.parametrize("model", READ_ONLY)
def test_nobody_adds_changes_or_deletes_what_money_has_touched(shop, client, model):
    client.force_login(User.objects.create_superuser("root@example.com", "a-long-password"))
    name = f"admin:orders_{model._meta.model_name}"
    row, count = model.objects.first(), model.objects.count()

    answers = [
        client.post(reverse(f"{name}_add"), {}),
        client.post(reverse(f"{name}_change", args=[row.pk]), {"status": "cancelled"}),
        client.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert model.objects.count() == count
    assert "delete_selected" not in admin.site.get_model_admin(model).get_actions(
        type("Request", (), {"GET": {}, "user": User.objects.get(email="root@example.com")})()
    )


def test_the_money_pages_need_a_permission_each(shop, client):
    client.force_login(make_staff("view_order"))

    assert client.get(reverse("admin:orders_order_changelist")).status_code == 200
    assert client.get(reverse("admin:orders_refund_changelist")).status_code == 403
    assert client.get(reverse("admin:orders_ledgertransaction_changelist")).status_code == 403


def plan_again(client, refund):
    return client.post(
        reverse("admin:orders_refund_changelist"),
        {"action": "plan_again", "_selected_action": [refund.pk]},
        follow=True,
    )


def test_a_failed_refund_is_planned_again_by_who_may(shop, client, sent):
    refund = Refund.objects.get()
    refund.payment.refund_planned_minor = 0
    refund.payment.save(update_fields=["refund_planned_minor"])
    Refund.objects.update(status="failed")
    client.force_login(make_staff("view_refund", "change_refund"))

    page = plan_again(client, refund).content.decode()

    assert "planned again" in page
    after = Refund.objects.get()
    assert (after.status, after.attempt) == ("planned", 2)
    assert after.request_id != refund.request_id
    assert shop.events.filter(kind="refund.planned").last().actor == f"user:{User.objects.get(is_staff=True).pk}"


def test_a_refund_that_did_not_fail_is_named_and_left_alone(shop, client, sent):
    refund = Refund.objects.get()
    tasks = len(sent())
    client.force_login(make_staff("view_refund", "change_refund"))

    page = plan_again(client, refund).content.decode()

    assert "planned again" not in page
    after = Refund.objects.get()
    assert (after.status, after.attempt, after.request_id) == (refund.status, 1, refund.request_id)
    assert len(sent()) == tasks


def test_looking_at_refunds_is_not_enough_to_send_one(shop, client):
    Refund.objects.update(status="failed")
    client.force_login(make_staff("view_refund"))

    plan_again(client, Refund.objects.get())

    assert (Refund.objects.get().status, Refund.objects.get().attempt) == ("failed", 1)


def test_how_a_customer_is_addressed_may_be_corrected_and_who_they_are_may_not(shop, client):
    client.force_login(make_staff("view_customer", "change_customer"))
    customer = shop.customer

    answer = client.post(
        reverse("admin:orders_customer_change", args=[customer.pk]),
        {"email": "new@example.com", "name": "", "country": "France", "language": "en", "external_reference": "1"},
    )

    assert answer.status_code == 302
    customer.refresh_from_db()
    assert (customer.email, customer.external_reference) == ("new@example.com", "17850")


def test_the_list_of_orders_takes_the_same_statements_however_long_it_is(shop, client):
    client.force_login(User.objects.create_superuser("root@example.com", "a-long-password"))
    url = reverse("admin:orders_order_changelist")
    client.get(url)
    with CaptureQueriesContext(connection) as one:
        client.get(url)
    for number in range(5):
        bring_order(line(), number=f"n{number}")
    with CaptureQueriesContext(connection) as six:
        client.get(url)

    assert len(six) == len(one)


def test_schedules_can_be_edited(client):
    client.force_login(User.objects.create_superuser("root@example.com", "a-long-password"))
    every_minute = IntervalSchedule.objects.create(every=60, period="seconds")
    add = reverse("admin:django_celery_beat_periodictask_add")

    page = client.get(add)
    answer = client.post(
        add,
        {
            "name": "sweep", "task": "orders.tasks.sweep_stuck_orders", "enabled": "on",
            "interval": every_minute.pk, "args": "[]", "kwargs": "{}", "headers": "{}",
        },
    )  # fmt: skip

    assert (page.status_code, answer.status_code) == (200, 302), answer.content.decode()[:2000]
    assert "orders.tasks.process_order" in page.content.decode()
    assert PeriodicTask.objects.get(name="sweep").task == "orders.tasks.sweep_stuck_orders"
