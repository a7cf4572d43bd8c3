"""A stand-in for every upstream, on loopback, with fault injection."""
