"""Identity: people and service accounts that sign in with a mail address."""
