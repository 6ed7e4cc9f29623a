"""What `./test` runs once everything is installed: checks, passes of pytest, one report. See docs/testing.md."""
