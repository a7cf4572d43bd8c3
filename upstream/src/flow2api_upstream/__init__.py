"""Clients of the upstreams behind one provider interface: Flow and the official Google APIs."""
