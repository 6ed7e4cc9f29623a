"""Large arguments and results: kept in Django's default storage, passed around as a small reference.

    report = store(rows, name="refunds")          # {"storage": "default", "name": "job-data/…", "bytes": …}
    return report                                 # the task's result, or another task's argument
    rows = load(report)

The name of a file is the digest of what is in it. Storing the same data twice, as a task does that ran twice, finds
the file that is there; nothing is ever overwritten. A file that a rolled back transaction leaves behind is harmless
and is removed with the others of its age by whoever keeps the storage.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, TypedDict

from django.core.files.base import ContentFile
from django.core.files.storage import storages
from kombu.utils.json import dumps, loads

from myproject.errors import NotFound, TerminalError

FOLDER = "job-data"


class Reference(TypedDict):
    """Where stored data is. JSON: it fits into arguments and results."""

    storage: str
    name: str
    bytes: int


class ResultTooLarge(TerminalError):
    """A task returned more than a row should hold. Read by whoever wrote the task; its effects were rolled back."""

    code = "result_too_large"
    reader = "developer"


class StoredDataMissing(NotFound):
    """What a reference names is not in the storage any more."""

    code = "stored_data_missing"


def store(data: Any, *, name: str = "data", storage: str = "default") -> Reference:
    """Store bytes, a text or JSON data under a name derived from its content; return the reference.

    `name` is a word for whoever looks into the storage. This may call another machine: use it in tasks of mode
    "lease", or before a transaction.
    """
    kind, content = _content(data)
    digest = hashlib.sha256(content).hexdigest()
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"
    path = f"{FOLDER}/{digest[:2]}/{word[:60]}-{digest}.{kind}"
    files = storages[storage]
    if not files.exists(path):
        path = files.save(path, ContentFile(content))
    return {"storage": storage, "name": path, "bytes": len(content)}


def load(reference: Reference) -> Any:
    """Return what `store` was given. Raises StoredDataMissing."""
    try:
        with storages[reference["storage"]].open(reference["name"]) as file:
            content: bytes = file.read()
    except FileNotFoundError:
        raise StoredDataMissing(f"{reference['name']} is not in the storage {reference['storage']!r}.") from None
    kind = reference["name"].rpartition(".")[2]
    if kind == "json":
        return loads(content.decode())
    return content.decode() if kind == "txt" else content


def _content(data: Any) -> tuple[str, bytes]:
    if isinstance(data, bytes | bytearray | memoryview):
        return "bin", bytes(data)
    if isinstance(data, str):
        return "txt", data.encode()
    return "json", dumps(data).encode()
