"""Upstream projects: ensured per token, taken in turns, replaced when the upstream no longer knows them."""
