"""What is published names no machine it was written on and no host it was installed from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, name_of, tracked_files

# Put together here, so that this file does not find itself.
HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"), ("files", "pythonhosted", "org"), ("registry", "npmjs", "org"), ("deb", "debian", "org"),
        ("proxy", "golang", "org"), ("repo1", "maven", "org"), ("repo", "maven", "apache", "org"),
    )
)  # fmt: skip
HOME = re.compile(r"(?<![\w.$}/-])/(?:home/(?!you/|user/)[a-z][\w-]*|Users/\w+|root|work)/")


def text_of(path: Path) -> str:
    """Return a file's text; what is not text counts as empty."""
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


@pytest.mark.parametrize("what", ["the checkout", "a home folder", "a package registry"])
def test_no_file_names_a_machine(what: str) -> None:
    def found(text: str) -> bool:
        if what == "the checkout":
            return str(ROOT) + "/" in text
        if what == "a home folder":
            return HOME.search(text) is not None
        return any(host in text for host in HOSTS)

    assert [name_of(path) for path in tracked_files() if found(text_of(path))] == []
