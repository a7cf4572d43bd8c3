"""Tokens: the pool as SQL has it, and what administrators do with it."""
