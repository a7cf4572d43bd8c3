"""The flow2api command: all-in-one mode, single services, tokens, keys, jobs."""
