"""Stored files: signed links to them and the bytes behind."""
