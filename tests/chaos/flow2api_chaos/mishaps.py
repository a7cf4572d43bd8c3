"""Lets happen to single accounts what a plan says, and notes when."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import httpx

from flow2api_chaos.accounts import Mishap
from flow2api_chaos.strikes import Injected
from flow2api_chaos.system import ChaosSystem, admin_client

_IDLE_PATIENCE_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.2


class MishapDoer:
    """Does them at their times. ``injected`` is the diary."""

    def __init__(self, system: ChaosSystem) -> None:
        self._system = system
        self._begin = asyncio.get_running_loop().time()
        self.injected: list[Injected] = []

    async def prepare(self, mishaps: Sequence[Mishap]) -> None:
        """Those that are so from the beginning."""
        for mishap in mishaps:
            if not mishap.at_seconds:
                await self._do(mishap)

    async def run(self, mishaps: Sequence[Mishap]) -> None:
        """The others, each at its time."""
        self._begin = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for mishap in mishaps:
                if mishap.at_seconds:
                    group.create_task(self._at_its_time(mishap), name=str(mishap))

    async def _at_its_time(self, mishap: Mishap) -> None:
        await asyncio.sleep(self._begin + mishap.at_seconds - asyncio.get_running_loop().time())
        if not mishap.is_idle:
            await self._do(mishap)
            return
        await self._switch(mishap.account, "disable")
        async with asyncio.timeout(_IDLE_PATIENCE_SECONDS):
            while (await self._token(mishap.account))["video_in_flight"]:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(_LOOK_SECONDS)
        await self._do(mishap)
        await self._switch(mishap.account, "enable")

    async def _do(self, mishap: Mishap) -> None:
        url = self._system.sandbox.urls["control_url"] + mishap.path
        answer = await asyncio.to_thread(httpx.post, url, json=dict(mishap.body), trust_env=False)
        answer.raise_for_status()
        seconds = asyncio.get_running_loop().time() - self._begin if mishap.at_seconds else 0.0
        self.injected.append(Injected(round(seconds, 1), str(mishap)))

    async def _switch(self, account: str, action: str) -> None:
        token = await self._token(account)
        await self._ask("POST", f"/admin/tokens/{token['id']}/{action}")

    async def _token(self, account: str) -> dict[str, Any]:
        tokens = await self._ask("GET", "/admin/tokens")
        return next(token for token in tokens if token["remark"] == account)

    async def _ask(self, method: str, path: str) -> Any:
        """Until somebody answers: whatever is killed comes back."""

        def ask() -> Any:
            with admin_client(self._system) as admin:
                return admin.request(method, path).raise_for_status().json()

        while True:
            try:
                return await asyncio.to_thread(ask)
            except httpx.HTTPError:
                await asyncio.sleep(_LOOK_SECONDS)
