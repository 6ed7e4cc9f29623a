"""What the migration of an append-only table says where the database does not let it make triggers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.db.migrations.state import ProjectState

from myproject.append_only import append_only_triggers


class Editor:
    """A schema editor of a MySQL server that refuses every trigger with one error."""

    connection = SimpleNamespace(vendor="mysql")

    def __init__(self, *error: Any) -> None:
        self.error = OperationalError(*error)

    def execute(self, statement: str) -> None:
        """Refuse what makes a trigger."""
        if statement.startswith("CREATE TRIGGER"):
            raise self.error


def make_triggers(editor: Any) -> None:
    append_only_triggers("orders_ledgerentry").code(ProjectState().apps, editor)


@pytest.mark.parametrize("code", [1142, 1227, 1419])
def test_a_server_that_allows_no_trigger_stops_the_migration_with_the_remedy(code: int) -> None:
    with pytest.raises(ImproperlyConfigured) as stopped:
        make_triggers(Editor(code, "denied"))

    sentence = str(stopped.value)
    assert sentence.startswith("The database user may not create triggers on orders_ledgerentry. Grant it TRIGGER ")
    assert "log_bin_trust_function_creators = 1" in sentence


@pytest.mark.parametrize("error", [(2006, "server has gone away"), ()])
def test_another_error_is_told_as_it_is(error: tuple[Any, ...]) -> None:
    with pytest.raises(OperationalError):
        make_triggers(Editor(*error))
