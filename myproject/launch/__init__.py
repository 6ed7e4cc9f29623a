"""What `./run` does: installs, configures, starts, watches and stops the site.

The package runs before anything is installed: standard library only, loaded by file path under the name `launch`
(see start.py), so that `myproject/__init__.py`, which needs Celery, is never imported by it.
"""
