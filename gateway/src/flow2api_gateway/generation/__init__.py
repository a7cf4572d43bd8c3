"""Calls of the generation-service, as the endpoints need them."""
