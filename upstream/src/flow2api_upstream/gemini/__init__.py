"""The Gemini Developer API by API keys. Source of every wire fact here: docs/upstream/google-official.md."""
