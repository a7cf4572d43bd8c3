"""Requests to addresses that clients name, which must not lead into private networks."""
