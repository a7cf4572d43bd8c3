"""What generations cost: reserved when they are accepted, settled or released at their end; see docs/ledger.md."""
