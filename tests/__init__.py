"""The suite. What it promises and how to run parts of it stands in docs/testing.md."""
