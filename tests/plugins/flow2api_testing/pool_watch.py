"""Looks at the leases before and after every script of the pool, within the same atomic step of Redis."""

from __future__ import annotations

from typing import Any

import pytest

from flow2api_testing.pool_time import MOVED_TIME, PoolTime

# Reads as somebody who knows only where the live leases are: `test_limits` is what the test has set, as
# {token: {kind: limit}}. A limit that was lowered below what is in flight may be exceeded, but never by one lease more.
_WATCHED = """
local function live_counts()
  local time = moved_time()
  local now = time[1] * 1000 + time[2] / 1000
  local counts, overdue = {}, 0
  for token, limits in pairs(cjson.decode(ARGV[1]).test_limits) do
    for kind in pairs(limits) do
      local key = KEYS[1] .. ':live:' .. token .. ':' .. kind
      counts[token .. ':' .. kind] = redis.call('ZCOUNT', key, '(' .. now, '+inf')
      overdue = overdue + redis.call('ZCOUNT', key, '-inf', now)
    end
  end
  return counts, overdue
end

local before = live_counts()
local answer = (function()
%s
end)()
local after, overdue = live_counts()
for token, limits in pairs(cjson.decode(ARGV[1]).test_limits) do
  for kind, limit in pairs(limits) do
    local place = token .. ':' .. kind
    if limit >= 0 and after[place] > limit and after[place] > before[place] then
      local found = place .. ' has ' .. after[place] .. ' live leases, ' .. limit .. ' allowed'
      redis.call('RPUSH', 'test:violations', found)
    end
  end
end
local told = answer and cjson.decode(answer)
local status = type(told) == 'table' and told.status
if overdue > 0 and (status == 'busy' or status == 'waiting' or status == 'queue_full') then
  redis.call('RPUSH', 'test:violations', 'refused for the sake of ' .. overdue .. ' leases past their deadline')
end
return answer
"""

VIOLATIONS_KEY = "test:violations"
"""A list in Redis of what went wrong, for people."""


class PoolWatch:
    """What the scripts are held to: by token id and kind, how many leases may live."""

    def __init__(self) -> None:
        self.limits: dict[int, dict[str, int]] = {}


@pytest.fixture
def pool_watch(monkeypatch: pytest.MonkeyPatch, pool_time: PoolTime) -> PoolWatch:
    """Watches every script that the test runs in its own process, on the time that it moves."""
    from flow2api_token_service.leases import script

    watch, source, call = PoolWatch(), script.script_source, script.PoolScript.__call__

    def watched_source(name: str) -> str:
        return MOVED_TIME + _WATCHED % source(name).removeprefix(MOVED_TIME)

    async def watched_call(self: script.PoolScript, **args: Any) -> Any:
        return await call(self, **args, test_limits=watch.limits)

    monkeypatch.setattr(script, "script_source", watched_source)
    monkeypatch.setattr(script.PoolScript, "__call__", watched_call)
    return watch
