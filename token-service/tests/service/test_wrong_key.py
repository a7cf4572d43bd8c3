"""A service with a wrong secret key does not start, and says why."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from flow2api_token_service.secrets.key_check import WrongSecretKey


async def test_service_with_another_secret_key_does_not_start(start_replica):
    async with start_replica():
        pass

    with pytest.raises(WrongSecretKey, match="FLOW2API_SECRET_KEY is not the key"):
        async with start_replica(secret_key=SecretStr("another-secret-key-0123456789")):
            pytest.fail("must not start")
    async with start_replica():
        pass
