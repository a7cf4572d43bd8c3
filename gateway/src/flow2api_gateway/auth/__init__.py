"""Who is asking: API keys of clients, sessions of administrators."""
