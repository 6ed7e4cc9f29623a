"""`./test bench`: which benchmarks there are, and how one is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.suite import benchmarks, command


def test_a_benchmark_is_a_module_with_main(tmp_path: Path) -> None:
    (tmp_path / "enqueue.py").write_text("def main(argv: list[str]) -> int:\n    return 0\n")
    (tmp_path / "frame.py").write_text("def median() -> None: ...\n")
    assert benchmarks.names(tmp_path) == ["enqueue"]


@pytest.mark.parametrize("arguments", [["bench"], ["bench", "no-such-benchmark"]])
def test_without_a_known_name_the_names_are_listed(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmarks, "names", lambda: ["enqueue", "recovery"])
    assert benchmarks.run(arguments[1:]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "NAME is one of: enqueue, recovery"
    assert re.search(r"\./test bench NAME \[--json FILE\]", command.USAGE)


def test_its_options_and_its_status_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmarks, "names", lambda: ["enqueue"])
    monkeypatch.setattr(benchmarks, "ROOT", tmp_path)
    folder = tmp_path / "tests" / "benchmarks"
    folder.mkdir(parents=True)
    (folder / "enqueue.py").write_text("def main(argv):\n    print(argv)\n    return 3\n")

    assert benchmarks.run(["enqueue", "--json", "out.json"]) == 3
    assert capfd.readouterr().out == "['--json', 'out.json']\n"
