"""Readers of other people's product files: plain values out, no rows of ours inside."""
