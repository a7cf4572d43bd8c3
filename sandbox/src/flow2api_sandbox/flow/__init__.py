"""The Flow upstream: the session side (LABS), the API side, as docs/upstream/flow.md describes them."""
