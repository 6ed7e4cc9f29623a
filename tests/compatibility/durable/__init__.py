"""Durable tasks through Celery's public interface, as its users write it, on real programs: client, worker, relay."""
