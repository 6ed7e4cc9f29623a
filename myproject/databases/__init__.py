"""Django's database backends, with statements that ride along with COMMIT: ENGINE names a package in here."""
