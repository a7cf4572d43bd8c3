"""Fixtures of the secrets and places that services are given."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr


@pytest.fixture
def service_token() -> SecretStr:
    """The bearer that the services of one test show each other."""
    return SecretStr("service-token-for-tests")


@pytest.fixture
def secret_key() -> SecretStr:
    """The key that secrets of one test are encrypted with."""
    return SecretStr("secret-key-for-tests-0123456789")


@pytest.fixture
def media_url(tmp_path: Path) -> str:
    """An empty media store on disk."""
    directory = tmp_path / "media"
    directory.mkdir()
    return f"file://{directory}"
