"""Veo: ``predictLongRunning`` of both official APIs. Source: docs/upstream/google-official.md, section 8."""
