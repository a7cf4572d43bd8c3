"""The public models: what clients may name, and how each is served."""
