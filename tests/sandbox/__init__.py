"""Tests of the payment provider's stand-in, over HTTP against real processes."""
