"""What Celery's users know, on this project's app and settings, against a real worker and a real Valkey."""
