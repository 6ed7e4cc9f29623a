"""What `./test` runs once everything is installed: checks, three passes of pytest, one report. See docs/testing.md."""
