"""Telling others how videos ended: who is told, the signed deliveries, and the ledger of them."""
