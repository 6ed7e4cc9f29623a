"""The entry for WSGI servers: `gunicorn myproject.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings.development")

application = get_wsgi_application()
