"""The Lua scripts of the pool; `flow2api_token_service.leases.pool_index` gives them their typed calls."""
