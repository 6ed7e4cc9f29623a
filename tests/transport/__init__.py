"""What the message transport promises, on every broker: 9 first, stock messages, working remote control."""
