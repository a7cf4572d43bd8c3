"""How long the upstream takes: learned from finished clips, kept in SQL, used for polling and for progress."""
