"""Google Flow by session accounts. Source of every wire fact here: docs/upstream/flow.md."""
