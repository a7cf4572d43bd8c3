"""What administrators change while the service runs: settings and routes, kept in SQL, alike on every replica."""
