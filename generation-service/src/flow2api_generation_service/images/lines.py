"""What ledger and attempts call the pictures of a generation."""

from __future__ import annotations


def line_of(index: int) -> str:
    """One of them."""
    return f"picture:{index}"
