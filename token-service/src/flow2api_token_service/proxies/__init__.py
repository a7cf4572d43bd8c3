"""Proxies: through which the tokens speak to the upstream, which of them work, and which token uses which."""
