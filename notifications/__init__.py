"""Messages to customers: one row per business event, channel and recipient."""
