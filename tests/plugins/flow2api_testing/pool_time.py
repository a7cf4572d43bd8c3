"""A time that tests move: for services, which are handed a clock, and for the pool's scripts, which ask Redis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

_REDIS_TIME = "redis.call('TIME')"
MOVED_TIME = """
local function moved_time()
  local time = redis.call('TIME')
  local ms = time[1] * 1000 + math.floor(time[2] / 1000) + (cjson.decode(ARGV[1]).test_shift_ms or 0)
  return {math.floor(ms / 1000), ms % 1000 * 1000}
end
"""


class PoolTime:
    """The machine's time plus what was added: a clock for the services, and the clock of the scripts in this process.

    Entries that Redis itself lets expire (locks, the memory of an offer) keep to the real time.
    """

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def advance(self, by: timedelta) -> None:
        """Move on; nothing moves back."""
        self.ahead += by

    def script_args(self) -> dict[str, Any]:
        """What a script must be told to see this time."""
        return {"test_shift_ms": self.ahead // timedelta(milliseconds=1)}


@pytest.fixture
def pool_time(monkeypatch: pytest.MonkeyPatch) -> PoolTime:
    """The time of every token service that the test runs in its own process; hand it to them as their clock, too."""
    from flow2api_token_service.leases import script

    time, source, call = PoolTime(), script.script_source, script.PoolScript.__call__

    def moved_source(name: str) -> str:
        text = source(name)
        assert text.count(_REDIS_TIME) == 1, "the scripts read the time in one place"
        return MOVED_TIME + text.replace(_REDIS_TIME, "moved_time()")

    async def moved_call(self: script.PoolScript, **args: Any) -> Any:
        return await call(self, **args, **time.script_args())

    monkeypatch.setattr(script, "script_source", moved_source)
    monkeypatch.setattr(script.PoolScript, "__call__", moved_call)
    return time
