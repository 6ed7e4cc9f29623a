"""Real servers for tests: how each is started, waited for and stopped. Standard library only, except smtp and fixtures."""
