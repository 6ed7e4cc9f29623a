"""The report of a run: what is counted, what is listed, and the line that machines read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.suite import report
from tests.suite.checks import Outcome
from tests.suite.command import take_seed
from tests.suite.passes import Pass, faults_run, full_run
from tests.suite.report import Tally

THIS = "tests.suite.test_report"
JUNIT = f"""<testsuites><testsuite>
<testcase classname="{THIS}" name="good" />
<testcase classname="{THIS}" name="bad[1]"><failure message="no" /></testcase>
<testcase classname="{THIS}" name="broken"><error message="no" /></testcase>
<testcase classname="{THIS}" name="absent"><skipped type="pytest.skip" message="server redis is missing: why" />
</testcase>
<testcase classname="{THIS}" name="known"><skipped type="pytest.xfail" message="later" /></testcase>
<testcase classname="" name="{THIS}"><error message="collection failure" /></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    file = tmp_path / "pass.xml"
    file.write_text(JUNIT)
    return file


def test_results_are_counted_and_the_last_line_says_so(junit: Path) -> None:
    # Given a pass, a check that failed and one that could not be done
    tally = Tally()
    tally.add_pass("sqlite", junit, status=1)
    tally.add_check(Outcome("mypy", False, "error"))
    tally.add_check(Outcome("ruff", True))
    tally.add_check(Outcome("lock", True, skipped="offline"))

    # When it is reported
    lines = tally.lines(seed=7)

    # Then everything has its name and the numbers add up
    assert lines[-1] == "3 passed, 4 failed, 2 skipped"
    assert "  server redis is missing: why (1)" in lines
    assert "    tests/suite/test_report.py::absent" in lines
    assert "  mypy" in lines
    again = next(line for line in lines if "./test" in line)
    assert again == (
        "  ./test --randomly-seed=7 tests/suite/test_report.py 'tests/suite/test_report.py::bad[1]'"
        " tests/suite/test_report.py::broken"
    )


@pytest.mark.parametrize("name", ["mariadb", "mysql"])
def test_a_failure_on_another_database_is_run_again_there(junit: Path, name: str) -> None:
    tally = Tally()
    tally.add_pass(name, junit, status=1)
    assert any(line.startswith(f"  ./test --{name} --randomly-seed=7 ") for line in tally.lines(seed=7))


@pytest.mark.parametrize(("status", "failed"), [(0, 0), (5, 0), (3, 1), (-9, 1)])
def test_pytest_that_ends_badly_without_results_is_a_failure(tmp_path: Path, status: int, failed: int) -> None:
    tally = Tally()
    tally.add_pass("sqlite", tmp_path / "never-written.xml", status=status)
    assert len(tally.failed) == failed
    assert tally.lines(seed=7)[-1] == f"0 passed, {failed} failed, 0 skipped"


def test_seed_is_taken_from_the_arguments() -> None:
    assert take_seed(["-k", "x", "--randomly-seed=12"]) == (12, ["-k", "x"])
    assert take_seed(["faults", "--seed", "12", "--long"]) == (12, ["faults", "--long"])
    assert take_seed(["faults", "--seed=12"]) == (12, ["faults"])
    seed, rest = take_seed(["fast"])
    assert (0 <= seed < 2**31, rest) == (True, ["fast"])


def test_without_mariadb_its_pass_is_left_out() -> None:
    names = [one.name for one in full_run({"TEST_REDIS_URL": "redis://127.0.0.1:1/0"})]
    assert names == ["processes", "sqlite", "alone"]


def test_mariadb_pass_reads_its_database_from_the_server() -> None:
    passes = {one.name: one for one in full_run({"TEST_MARIADB_URL": "mysql://root@127.0.0.1:1/x"})}
    assert passes["mariadb"].env["DATABASE_URL"] == "mysql://root@127.0.0.1:1/x"
    assert "DATABASE_URL" not in passes["sqlite"].env


def test_arguments_reach_pytest_with_the_seed() -> None:
    command = Pass("chosen", workers=0).command(seed=3, arguments=["-k", "refund"])
    assert command[-2:] == ["-k", "refund"]
    assert "--randomly-seed=3" in command


def test_every_test_belongs_to_one_pass_on_sqlite() -> None:
    """The marks that decide are independent of each other, so every combination of them is asked."""
    passes = [one for one in full_run({}) if one.name != "mariadb"]
    for serial in (True, False):
        for alone in (True, False):
            marks = {"serial": serial, "alone": alone, "mariadb": False}
            chosen = [one.name for one in passes if eval(one.marks, {}, marks)]
            assert chosen == ["alone" if alone else "processes" if serial else "sqlite"]


def test_what_computes_runs_in_front_of_what_waits_and_what_measures_runs_last() -> None:
    passes = full_run({"TEST_MARIADB_URL": "mysql://root@127.0.0.1:1/x"})
    assert [(one.name, one.beside) for one in passes] == [
        ("processes", True),
        ("sqlite", False),
        ("mariadb", False),
        ("alone", False),
    ]
    assert "-n" in passes[-1].command(seed=1, arguments=[])
    assert passes[-1].workers == 0


@pytest.mark.parametrize(("long", "env"), [(False, {}), (True, {"FAULTS_LONG": "1"})])
def test_faults_have_a_quick_and_a_long_form(long: bool, env: dict[str, str]) -> None:
    one = faults_run(long=long)
    assert one.env == env
    assert one.command(seed=3, arguments=["-k", "redis"])[-3:] == ["tests/faults", "-k", "redis"]


def test_failed_faults_are_run_again_by_their_own_command(junit: Path) -> None:
    tally = Tally()
    tally.add_pass("faults", junit, status=1)
    assert any(line.startswith("  ./test faults --randomly-seed=7 ") for line in tally.lines(seed=7))


def test_merged_results_name_their_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    (tmp_path / "junit").mkdir()
    (tmp_path / "junit" / "sqlite.xml").write_text(JUNIT)
    report.merge_junit(["sqlite", "mariadb"])
    merged = report.ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert [suite.get("name") for suite in merged] == ["sqlite"]


@pytest.mark.parametrize("wanted", [True, False])
def test_coverage_is_measured_in_every_pass_on_sqlite_or_in_none(wanted: bool) -> None:
    passes = full_run({"TEST_MARIADB_URL": "mysql://root@127.0.0.1:1/x"}, coverage=wanted)
    assert {one.name for one in passes if one.coverage} == ({"processes", "sqlite", "alone"} if wanted else set())
