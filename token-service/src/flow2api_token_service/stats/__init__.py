"""Counters of tokens: counted in Redis, written to SQL in batches."""
