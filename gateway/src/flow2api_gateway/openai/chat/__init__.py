"""Chat completions that make pictures and clips."""
