"""Real pictures and clips, made on demand and kept."""
