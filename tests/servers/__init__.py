"""Real servers for tests: how each is started, waited for and stopped."""
