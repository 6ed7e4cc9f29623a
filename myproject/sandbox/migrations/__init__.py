"""The stand-in's tables."""
