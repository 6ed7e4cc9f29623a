"""Settings, one module per topic and one per place.

`DJANGO_SETTINGS_MODULE=myproject.settings`, as the documents write it, means development; a deployment names
`myproject.settings.production`. The import stands behind the condition so that production never evaluates it.
"""

import os

if os.environ.get("DJANGO_SETTINGS_MODULE") == "myproject.settings":
    from .development import *
