"""The Gemini API, as docs/upstream/google-official.md describes it. Vertex would be a package beside this one."""
