"""Credentials: what is shown to the upstream in the name of a token, and how it stays valid."""
