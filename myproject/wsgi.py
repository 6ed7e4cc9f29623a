"""The entry for WSGI servers: `gunicorn myproject.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

from myproject.jobs.on_commit import publish_in_thread

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings.development")
# Seconds for one answer of the database, where a worker waits for 60: twice the longest wait for a lock, and by then
# whoever asked for the page has gone. A server that hangs thus holds a thread for 20 s and not for ever.
os.environ.setdefault("DATABASE_READ_TIMEOUT", "20")

application = get_wsgi_application()
publish_in_thread()  # an answer does not wait for the broker
