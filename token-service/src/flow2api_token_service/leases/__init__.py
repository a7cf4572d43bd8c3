"""Leases: the right to run one generation on one token, kept in Redis."""
