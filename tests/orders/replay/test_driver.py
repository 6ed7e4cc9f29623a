"""What stops a run before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone

from orders.models import ImportBatch
from orders.replay.client import Connections
from orders.replay.driver import NotReady, replay_file
from orders.replay.progress import PlainWatcher
from tests.orders.replay.files import DAY, write_retail_file

pytestmark = pytest.mark.django_db


def test_a_file_of_which_no_row_can_be_taken_cannot_start(tmp_path: Path) -> None:
    path = write_retail_file(tmp_path / "bad.csv", f"1,X,,2.5,{DAY},1,a,", f"2,X,,-1,{DAY},1,a,")
    nowhere = "http://127.0.0.1:9"

    with pytest.raises(NotReady) as caught:
        replay_file(
            path=path,
            connections=Connections(
                site_url=nowhere, token="t", provider_url=nowhere, provider_key="k", merchant_id="m"
            ),
            workers=1,
            patience=1,
            watcher=PlainWatcher(),
            clock=timezone.now,
        )

    assert str(caught.value) == (
        "no row of bad.csv can be taken; the first, line 2: quantity is not a whole number: '2.5'"
    )
    assert ImportBatch.objects.count() == 0
