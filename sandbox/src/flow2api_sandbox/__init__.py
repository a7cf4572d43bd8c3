"""A stand-in for every upstream, on loopback, with fault injection.

``server.running_sandbox`` runs one in the caller's event loop, ``python -m flow2api_sandbox`` alone. ``faults``
documents how to break it; README.md the rest.
"""
