"""A strict stand-in for the payment provider Juspay: own process, own settings, own database. See docs/sandbox.md."""
