"""The entry for WSGI servers: `gunicorn myproject.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

from myproject.jobs.on_commit import publish_in_thread

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings.development")

application = get_wsgi_application()
publish_in_thread()  # an answer does not wait for the broker
