"""Old task names (being written)."""


def resolve(name: str) -> str:
    """Return the present name of a task."""
    return name
