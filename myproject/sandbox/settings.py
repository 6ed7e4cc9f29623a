"""Django settings of the stand-in: no users, no sessions, no middleware, one SQLite file. Nothing of the platform."""

from __future__ import annotations

from .configuration import configuration

DEBUG = False
SECRET_KEY = "the stand-in signs nothing with Django's key"  # no sessions, no tokens, no cookies
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "myproject.sandbox.urls"
INSTALLED_APPS = ["myproject.sandbox.apps.SandboxConfig"]
MIDDLEWARE: list[str] = []
APPEND_SLASH = False
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 262_144  # bytes; the largest body a merchant sends here is a session of a few hundred

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(configuration().database),
        "CONN_MAX_AGE": None,  # one connection per server thread for its whole life: opening one costs more than a call
        "OPTIONS": {
            # A transaction takes the write lock when it begins, so that it never fails in the middle for want of it.
            "transaction_mode": "IMMEDIATE",
            # The `record` command reads while the server writes; a writer in another process may wait this long.
            "timeout": 20,
            # With a write-ahead log and NORMAL a crash of the process loses nothing; a power cut may lose the end.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA recursive_triggers=ON;",
        },
    }
}

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "myproject.sandbox": {"level": "INFO"},
        # Django warns about every 4xx answer; refusing is this program's work, and the answer says why.
        "django.request": {"level": "ERROR"},
    },
}
