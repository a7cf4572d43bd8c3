"""One Lua script of the pool: JSON in, JSON out."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis

from flow2api_token_service.redis_client import KEY_PREFIX, redis_errors

_PACKAGE = "flow2api_token_service.leases.scripts"
_SHARED = ("_pool", "_choose", "_queue")


class PoolScript:
    """A script by its file name, run atomically in Redis; it is loaded when Redis does not know it (any more)."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._script = redis.register_script(script_source(name))

    async def __call__(self, **args: Any) -> Any:
        """Run it with ``args``; gives what the script answers. Raises DependencyUnavailable."""
        with redis_errors():
            answer = await self._script(keys=[KEY_PREFIX], args=[json.dumps(args)])
        return json.loads(answer) if answer else None


def script_source(name: str) -> str:
    """The whole text of a script, with what all of them share in front."""
    return "".join(map(_read, (*_SHARED, name)))


@cache
def _read(name: str) -> str:
    return files(_PACKAGE).joinpath(f"{name}.lua").read_text(encoding="utf-8")
