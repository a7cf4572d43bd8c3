"""Cloud Storage: buckets that Vertex reads and writes. Source: docs/upstream/google-official.md, section 9."""
