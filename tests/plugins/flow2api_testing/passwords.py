"""Passwords of administrators that cost next to nothing: in earnest a hash takes a fifth of a second of a core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from argon2 import PasswordHasher


@contextmanager
def cheap_passwords() -> Iterator[None]:
    """Token services that start in this process while inside hash so."""
    from flow2api_token_service.access import passwords

    cheap = partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "PasswordHasher", cheap)
        yield
