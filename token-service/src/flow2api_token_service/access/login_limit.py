"""The limit on wrong logins, counted in Redis for all replicas.

It fails closed: while Redis is away nobody can log in, as otherwise nobody would count.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta

from redis.asyncio import Redis

from flow2api_common.errors import CapacityError
from flow2api_token_service.access.secrets import SecretHasher
from flow2api_token_service.redis_client import KEY_PREFIX, redis_errors

MAX_WRONG_LOGINS = 10
WINDOW = timedelta(minutes=15)
_IPV6_PREFIX = 64

# An attempt counts before it is checked, so that many at once cannot slip through; a right one is taken back.
_ENTER = """
local wait = -1
for _, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') >= tonumber(ARGV[1]) then
    wait = math.max(wait, redis.call('PTTL', key))
  end
end
if wait >= 0 then return wait end
for _, key in ipairs(KEYS) do
  if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, ARGV[2]) end
end
return -1
"""

# The name is proved; of the address only this attempt is: others may share it.
_FORGET = """
redis.call('DEL', KEYS[1])
if KEYS[2] and redis.call('EXISTS', KEYS[2]) == 1 then redis.call('DECR', KEYS[2]) end
return 0
"""


class LoginLimit:
    """Ten wrong logins per name or per address, then a pause until the first of them is a quarter of an hour old."""

    def __init__(self, *, redis: Redis, hasher: SecretHasher) -> None:
        self._hasher = hasher
        self._enter = redis.register_script(_ENTER)
        self._forget = redis.register_script(_FORGET)

    async def enter(self, *, username: str, client_address: str) -> None:
        """Count an attempt. Raises CapacityError when there were too many; DependencyUnavailable."""
        with redis_errors():
            wait_ms = await self._enter(
                keys=self._keys(username, client_address),
                args=[MAX_WRONG_LOGINS, WINDOW // timedelta(milliseconds=1)],
            )
        if int(wait_ms) >= 0:
            raise CapacityError(
                "Too many wrong logins; try again later.",
                reason="TOO_MANY_LOGINS",
                retry_after=max(timedelta(milliseconds=int(wait_ms)), timedelta(seconds=1)),
            )

    async def forget(self, *, username: str, client_address: str) -> None:
        """Take back what was counted: the login was right."""
        with redis_errors():
            await self._forget(keys=self._keys(username, client_address))

    def _keys(self, username: str, client_address: str) -> list[str]:
        names = [f"name:{username}"]
        if client_address:
            names.append(f"address:{_counted_as(client_address)}")
        # Hashed: what people type into a name field may be a password.
        return [f"{KEY_PREFIX}:login:{self._hasher.hash(name, purpose='login')}" for name in names]


def _counted_as(client_address: str) -> str:
    """The address, or the /64 network of an IPv6 address: who has one of its addresses has all of them."""
    try:
        address = ipaddress.ip_address(client_address.partition("%")[0])
    except ValueError:
        return client_address
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
