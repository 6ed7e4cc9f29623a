"""Faults by configuration: what a rule is, how rules are read, and which rule fires."""
