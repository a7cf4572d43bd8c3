"""The bearer of a request."""

from __future__ import annotations

from starlette.requests import Request


def bearer_of(request: Request) -> str:
    """What stands after ``Bearer`` in the authorization header; empty when there is none."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""
