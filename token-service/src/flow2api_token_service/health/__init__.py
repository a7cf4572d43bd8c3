"""Health: what the outcome of a generation does to its token."""
