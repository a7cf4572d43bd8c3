"""Registering receivers of webhooks, as OpenAI's SDK does."""
