"""Access: API keys of clients, logins of administrators."""
