"""What operators do to jobs. Everything here leaves a `SteeringEvent` in the transaction that did it."""
