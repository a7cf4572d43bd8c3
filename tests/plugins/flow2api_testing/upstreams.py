"""Fixtures of the upstream: the sandbox, and settings that point at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

# The packages are imported by the fixtures that use them: a test of one package does not load all the others.
if TYPE_CHECKING:
    from flow2api_sandbox.server import RunningSandbox
    from flow2api_upstream.settings import UpstreamSettings


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[RunningSandbox]:
    """A sandbox of this test alone that answers at once, in the test's event loop."""
    from flow2api_sandbox.server import running_sandbox
    from flow2api_sandbox.settings import SandboxSettings

    async with running_sandbox(SandboxSettings(host="127.0.0.1", port=0, time_scale=0)) as running:
        yield running


@pytest.fixture
def upstream_settings(sandbox: RunningSandbox) -> UpstreamSettings:
    """Settings of the upstream clients that point at the sandbox."""
    from flow2api_common.settings import load_settings
    from flow2api_upstream.settings import UpstreamSettings

    return load_settings(
        UpstreamSettings,
        flow_labs_url=sandbox.flow_labs_url,
        flow_api_url=sandbox.flow_api_url,
        gemini_url=sandbox.gemini_url,
        vertex_url=sandbox.vertex_url,
        google_token_url=sandbox.token_url,
        google_storage_url=sandbox.storage_url,
        google_metadata_url=sandbox.base_url,
        upstream_impersonate="",
    )
