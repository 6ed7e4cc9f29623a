"""The guard that every test runs under: no network call while a transaction is open."""

from __future__ import annotations

import socket

import httpx
import pytest
from django.core.mail import EmailMessage
from django.db import transaction
from kombu import Connection, Producer

from tests.servers.transactions import NetworkInTransaction


def connect() -> None:
    with socket.socket() as probe:
        probe.connect_ex(("127.0.0.1", 1))


def call() -> None:
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        client.get("http://provider.example/")


def publish() -> None:
    with Connection("memory://") as connection:
        Producer(connection).publish("message", routing_key="anywhere")


def send_mail() -> None:
    EmailMessage("subject", "body", to=["ada@example.com"]).send()


EVERY_WAY = [connect, call, publish, send_mail]


@pytest.mark.django_db
@pytest.mark.parametrize("way", EVERY_WAY)
def test_call_inside_a_transaction_is_refused(way) -> None:
    with pytest.raises(NetworkInTransaction, match="while a transaction is open"), transaction.atomic():
        way()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", EVERY_WAY)
def test_call_inside_a_real_transaction_is_refused(way) -> None:
    with pytest.raises(NetworkInTransaction), transaction.atomic():
        way()


@pytest.mark.django_db
@pytest.mark.parametrize("way", EVERY_WAY)
def test_call_outside_a_transaction_passes(way) -> None:
    way()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", EVERY_WAY)
def test_call_after_commit_passes(way) -> None:
    with transaction.atomic():
        transaction.on_commit(way)


@pytest.mark.django_db
@pytest.mark.network_in_transaction
def test_mark_switches_the_guard_off() -> None:
    with transaction.atomic():
        connect()
