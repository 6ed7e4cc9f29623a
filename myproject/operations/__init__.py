"""Home page, health and status."""
