"""HTTP below the protocols: bodies, forms, event streams, request context, draining."""
