"""``generateContent``: pictures out of contents."""
