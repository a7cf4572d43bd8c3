"""The poller to compare with: one status call for each clip every 3 s, as the program before this one made them.

Run as a process of its own. Reads one line of JSON: the clips, each with the account that it lives on and the time at
which it is accepted. Asks through the same upstream client as the real poller. Says ``ready`` once it has logged in
everywhere, and at the end when it saw each clip ready.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

from flow2api_common.settings import load_settings
from flow2api_upstream.flow.handles import FlowOperation
from flow2api_upstream.port import Account, OperationState, Provider, Secret, UpstreamFailure
from flow2api_upstream.registry import build_registry
from flow2api_upstream.settings import UpstreamSettings

_INTERVAL_SECONDS: Final = 3.0
_AT_ONCE: Final = 256
"""Calls under way; more would only wait inside the client."""


async def main() -> None:
    clips: list[dict[str, Any]] = json.loads(sys.stdin.readline())
    providers = build_registry(load_settings(UpstreamSettings))
    provider = providers.get("flow")
    try:
        accounts = {}
        for number, name in enumerate(sorted({clip["account"] for clip in clips}), 1):
            grant = await provider.refresh(Secret(name))
            accounts[name] = Account(token_id=number, bearer=grant.bearer, session_token=name)
        print("ready", flush=True)
        slots = asyncio.Semaphore(_AT_ONCE)
        seen: dict[str, float] = {}
        async with asyncio.TaskGroup() as group:
            for clip in clips:
                group.create_task(_follow(provider, accounts[clip["account"]], clip, slots, seen))
    finally:
        await providers.aclose()
    print(json.dumps(seen), flush=True)


async def _follow(
    provider: Provider, account: Account, clip: dict[str, Any], slots: asyncio.Semaphore, seen: dict[str, float]
) -> None:
    handle = FlowOperation(name=clip["name"], project=clip["project_id"], workflow=clip["workflow_id"]).handle()
    await asyncio.sleep(max(clip["accepted_at"] - time.time(), 0))
    while True:
        await asyncio.sleep(_INTERVAL_SECONDS)
        try:
            async with slots:
                statuses = await provider.check_videos(account, [handle])
        except UpstreamFailure:
            continue
        if statuses[handle].state is OperationState.SUCCEEDED:
            seen[clip["name"]] = time.time()
            return


if __name__ == "__main__":
    asyncio.run(main())
