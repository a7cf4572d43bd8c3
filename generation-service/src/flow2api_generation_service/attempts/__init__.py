"""Where a generation was tried, what came of each try, and why another one followed."""
