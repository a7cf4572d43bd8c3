"""How the gateway tells its clients what went wrong."""
