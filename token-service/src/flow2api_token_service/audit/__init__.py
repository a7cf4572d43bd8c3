"""Audit: who has changed what."""
