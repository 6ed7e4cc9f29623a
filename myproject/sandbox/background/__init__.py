"""What happens without a request: refunds settle and webhooks leave."""
