"""What was asked for and how it went, as operators see it."""
