"""``interactions``: pictures and clips, at once, streamed or in the background."""
