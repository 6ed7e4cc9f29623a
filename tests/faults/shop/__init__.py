"""The app of the fault tests: intents, the effects that they must have, and tasks that go wrong on purpose."""
