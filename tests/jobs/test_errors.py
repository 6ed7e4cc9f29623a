"""What passes by itself costs a job no attempt; everything else is the job's own."""

from __future__ import annotations

import pytest
from django.db import DataError, IntegrityError, InterfaceError, InternalError, OperationalError, ProgrammingError

from myproject.jobs.errors import is_passing

PASSING = [
    OperationalError(1205, "Lock wait timeout exceeded"),
    OperationalError(1213, "Deadlock found"),
    OperationalError(1290, "running with the --read-only option"),
    OperationalError(1040, "Too many connections"),
    OperationalError(1114, "The table 'jobs_job' is full"),
    OperationalError(1021, "Disk full (/tmp/#sql); waiting for someone to free some space"),
    OperationalError(1026, "Error writing file (errno: 28)"),
    OperationalError(1180, "Got error 28 during COMMIT"),
    OperationalError(1030, 'Got error 28 "No space left on device" from storage engine InnoDB'),
    OperationalError(2013, "Lost connection to server during query"),
    InternalError(3, "Error writing file (Errcode: 28)"),
    InternalError(14, "Can't change size of file"),
    InterfaceError(0, ""),
    OperationalError("database is locked"),
    OperationalError("database or disk is full"),
]
OWN = [
    OperationalError(1054, "Unknown column"),
    OperationalError(1030, 'Got error 168 "Unknown (generic) error from engine" from storage engine X'),
    InternalError(22, "Character set is unknown"),
    InternalError(),
    OperationalError(),
    OperationalError("no such table: jobs_job"),
    ProgrammingError(1146, "Table does not exist"),
    IntegrityError(1062, "Duplicate entry"),
    DataError(1406, "Data too long"),
    ValueError("database is locked"),
]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_trouble_of_the_server_passes(error: Exception) -> None:
    assert is_passing(error)


@pytest.mark.parametrize("error", OWN, ids=str)
def test_a_wrong_statement_does_not(error: Exception) -> None:
    assert not is_passing(error)
