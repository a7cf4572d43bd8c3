"""``predictLongRunning`` and its operations: clips."""
