"""The pool of upstream accounts: refresh, leases, health; API keys and admin logins."""
