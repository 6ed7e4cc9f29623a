"""Benchmarks: ratios of two ways, measured in alternating rounds of one run (docs/benchmarks.md)."""
