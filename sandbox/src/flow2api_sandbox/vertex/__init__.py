"""Vertex AI, as docs/upstream/google-official.md describes it. What it shares with the Gemini API is in ``gemini/``."""
