"""A strict stand-in for the payment provider Juspay: its own process, settings and database file. See docs/sandbox.md."""
