"""The real site's checkout: gunicorn on a database beside the world's, and people who buy and come back when refused.

`python -m tests.faults.checkout COUNT` makes one article that costs nothing and COUNT people, and prints their tokens.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx

from tests.faults.budgets import START, STEP
from tests.faults.world import World
from tests.servers.processes import ROOT, python, wait_until
from tests.servers.programs import start_web

SITE_DATABASE = "site"
#: Each of gunicorn's threads has work, and no more connections are asked for than a starved server has.
PEOPLE = 4
#: A request waits for a lock and for a lost connection for some seconds each; nobody waits for ever.
PATIENCE = 60.0
SKU = "ROW-20"
#: What is left when every order is whole. Each statement counts something that must not be.
HALVES = {
    "orders without their line": "orders_order o WHERE NOT EXISTS (SELECT 1 FROM orders_orderline l"
    " WHERE l.order_id = o.id)",
    "orders without their history": "orders_order o WHERE (SELECT COUNT(*) FROM orders_orderevent e"
    " WHERE e.order_id = o.id) < 2",
    "orders without the job that processes them": "orders_order o WHERE (SELECT COUNT(*) FROM jobs_job j"
    " WHERE j.task = 'orders.tasks.process_order' AND JSON_VALUE(j.body, '$[0][0]') = o.id) <> 1",
    "jobs without their order": "jobs_job j WHERE j.task = 'orders.tasks.process_order' AND NOT EXISTS"
    " (SELECT 1 FROM orders_order o WHERE o.id = JSON_VALUE(j.body, '$[0][0]'))",
    "carts that were ordered and are open": "orders_cart c JOIN orders_order o"
    " ON o.number = CONCAT('W', LPAD(c.id, 8, '0')) WHERE c.status <> 'ordered'",
    "carts that were closed without an order": "orders_cart c WHERE c.status = 'ordered' AND NOT EXISTS"
    " (SELECT 1 FROM orders_order o WHERE o.number = CONCAT('W', LPAD(c.id, 8, '0')))",
    "orders whose request has no answer to repeat": "orders_order o WHERE NOT EXISTS (SELECT 1 FROM"
    " platform_api_idempotencyrecord r WHERE r.response_status = 201 AND JSON_VALUE(r.response_body, '$.id') = o.id)",
}


class Checkout:
    """People who fill their carts and order, one order after the other, until they are told to stop."""

    def __init__(self, world: World, *, url: str, tokens: list[str]) -> None:
        """Describe people with `tokens` at the site `url`."""
        self.world, self.url, self.tokens = world, url, tokens
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []  # answers that no client can work with
        self.ordered: list[int] = []
        self.slowest = 0.0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._shop, args=(token,), daemon=True) for token in tokens]

    def start(self) -> None:
        """Let everybody begin."""
        for thread in self._threads:
            thread.start()

    def refused(self) -> int:
        """Return how many requests were refused so far."""
        return self.statuses[503]

    def wait_for_orders(self, more: int) -> None:
        """Wait until so many orders more are placed."""
        goal = len(self.ordered) + more
        wait_until(lambda: len(self.ordered) >= goal or self.wrong, timeout=STEP, what=f"{more} orders")

    def wait_for_refusals(self, goal: int) -> None:
        """Wait until so many requests were refused in all."""
        wait_until(lambda: self.refused() >= goal or self.wrong, timeout=STEP, what=f"{goal} refused requests")

    def close(self) -> None:
        """Let nobody begin another order."""
        self._over.set()

    def finish(self) -> None:
        """Let everybody get the order that they are at, and go."""
        self.close()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "somebody's order never came through"

    def halves(self) -> dict[str, int]:
        """Return what is left of orders that are not whole; empty when all are."""
        found = {}
        for what, where in HALVES.items():
            [(count,)] = self.world.database.rows(f"SELECT COUNT(*) FROM {where}", database=SITE_DATABASE)
            if count:
                found[what] = int(count)
        return found

    def orders(self) -> list[int]:
        """Return the ids of all orders that stand."""
        found = self.world.database.rows("SELECT id FROM orders_order ORDER BY id", database=SITE_DATABASE)
        return [number for (number,) in found]

    def _shop(self, token: str) -> None:
        headers = {"Authorization": f"Token {token}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, trust_env=False) as client:
            while not self._over.is_set() and not self.wrong:
                cart = self._ask(client, "PUT", f"/api/cart/lines/{SKU}", {"quantity": 1})
                # The key stays the same while the answer is a refusal: the order may stand all the same.
                order = self._ask(client, "POST", "/api/orders", {"cart": cart["id"]}, key=uuid.uuid4().hex)
                self.ordered.append(order["id"])

    def _ask(self, client: httpx.Client, method: str, path: str, body: dict[str, Any], *, key: str = "") -> Any:
        """Send a request until it is not refused any more; anything but an answer or a 503 problem is wrong."""
        headers = {"Idempotency-Key": key} if key else {}
        for number in itertools.count():
            began = time.monotonic()
            answer = client.request(method, path, json=body, headers=headers)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.statuses[answer.status_code] += 1
            if answer.is_success:
                return answer.json()
            problem = answer.headers.get("Content-Type") == "application/problem+json" and answer.json()
            if answer.status_code != 503 or not problem or int(answer.headers.get("Retry-After", "0")) < 1:
                self.wrong.append(f"{method} {path}: {answer.status_code} {answer.headers} {answer.text[:500]}")
                raise AssertionError(self.wrong[-1])
            time.sleep(0.1 * min(number + 1, 10))
        raise AssertionError("unreachable")


@contextlib.contextmanager
def open_site(world: World, *, user: str) -> Iterator[Checkout]:
    """Run the real site as a database `user`, on its own database of the world's server, with people at its door."""
    world.database.rows(f"CREATE DATABASE IF NOT EXISTS {SITE_DATABASE} CHARACTER SET utf8mb4", database=None)
    url = world.database.url.rpartition("/")[0] + f"/{SITE_DATABASE}"
    env = (
        world.env
        | {
            "DJANGO_SETTINGS_MODULE": "myproject.settings.test",
            "DATABASE_URL": url,
            "REDIS_URL": world.broker.url[:-1] + "4",  # and the three after it
            "ABANDON_CART_REDIS_URL": world.broker.url[:-1] + "7",
        }
    )
    for command in (["manage.py", "migrate", "--verbosity", "0"], ["-m", "tests.faults.checkout", str(PEOPLE)]):
        done = subprocess.run(
            [python(), *command], env=env, cwd=ROOT, capture_output=True, text=True, timeout=4 * START, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    tokens = json.loads(done.stdout.splitlines()[-1])
    process, address = start_web(
        env=env | {"DATABASE_URL": url.replace("root@", f"{user}@")}, folder=world.folder / "site", threads=PEOPLE
    )
    checkout = Checkout(world, url=address, tokens=tokens)
    try:
        yield checkout
    finally:
        checkout.close()
        process.stop()


def make_people(count: int) -> list[str]:
    """Make an article that costs nothing, so that an order is paid and promises its processing at once; and people."""
    from knox.models import AuthToken

    from tests.orders.factories import make_price, make_user, make_variant

    make_price(make_variant(SKU), "0.00")
    return [AuthToken.objects.create(make_user(f"{number}@example.com"))[1] for number in range(count)]


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(make_people(int(sys.argv[1]))))
