"""The task platform: transport, old task names, and later durable jobs."""
