"""The life of a video job: accepted, handed to the upstream, followed to a final state."""
