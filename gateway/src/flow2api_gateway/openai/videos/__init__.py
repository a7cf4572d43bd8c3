"""The Videos API."""
