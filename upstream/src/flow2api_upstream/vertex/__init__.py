"""Vertex AI: service accounts, machine and user credentials, express keys.

Source of every wire fact here: docs/upstream/google-official.md.
"""
