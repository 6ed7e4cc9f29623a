"""Sends many requests over a few threads, each with connections of its own, and can be stopped at any moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TypeVar

from orders.replay.client import Interrupted, Refused, ReplayClient

Item = TypeVar("Item")

LOOK_SECONDS = 0.5
"""How often the main thread looks at the progress; it sleeps in between."""


@dataclass(slots=True)
class Sent:
    """What came of a round of sending."""

    done: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    """Sentences of the platform, by invoice number."""


def send_all(
    *,
    groups: Sequence[Sequence[Item]],
    send: Callable[[ReplayClient, Item], None],
    name: Callable[[Item], str],
    make_client: Callable[[], ReplayClient],
    workers: int,
    stop: threading.Event,
    watch: Callable[[int], None],
) -> Sent:
    """Send every item of every group on ``workers`` threads; the items of one group go one after the other.

    One refused item does not stop the rest. ``watch`` is called now and then with the number of items that are done,
    and may raise. Raises Unreachable when a server stays away; whatever is raised, no thread is left.
    """
    waiting: SimpleQueue[Sequence[Item]] = SimpleQueue()
    for group in groups:
        waiting.put(group)
    sent, lock, broken = Sent(), threading.Lock(), list[Exception]()

    def work() -> None:
        client = make_client()
        try:
            while not stop.is_set():
                for item in waiting.get_nowait():
                    refusal = _send_one(send, client, item)
                    with lock:
                        sent.done += 1
                        if refusal:
                            sent.refused[name(item)] = refusal
        except (Empty, Interrupted):
            pass
        except Exception as error:  # handed to the main thread, which raises it
            broken.append(error)
            stop.set()
        finally:
            client.close()

    threads = [threading.Thread(target=work, name=f"replay-{number}") for number in range(max(1, workers))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(timeout=LOOK_SECONDS)
                watch(sent.done)
    except BaseException:
        stop.set()
        raise
    finally:
        for thread in threads:
            thread.join()
    if broken:
        raise broken[0]
    return sent


def _send_one(send: Callable[[ReplayClient, Item], None], client: ReplayClient, item: Item) -> str:
    try:
        send(client, item)
    except Refused as refusal:
        return str(refusal)
    return ""
