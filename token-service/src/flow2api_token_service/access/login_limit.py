"""The limit on wrong logins, counted in Redis for all replicas.

Ten wrong logins for one name, or from one address, close it until the first of them is a quarter of an hour old. As an
outsider can close a name in this way, an address from which a name has logged in before is known for a month: there the
name has ten tries of its own, and what others do with the name does not count.

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
KNOWN_FOR = timedelta(days=30)
_IPV6_PREFIX = 64
_MILLISECOND = timedelta(milliseconds=1)

# KEYS  1 counter of the name, 2 counters that a name has at known addresses (a set of their keys);
#       where the address is told: 3 counter of the address, 4 counter of the name at the address,
#       5 mark that the name has logged in from there
# The counters that decide, and those that count too.
_COUNTERS = """
local deciding, others = {KEYS[1], KEYS[3]}, {}
if KEYS[5] and redis.call('EXISTS', KEYS[5]) == 1 then
  deciding, others = {KEYS[4]}, {KEYS[3]}
end
"""

# An attempt counts before it is checked, so that many at once cannot slip through; a right one is taken back.
# ARGV  limit, length of the window in milliseconds. answer: milliseconds to wait, -1 to go on
_ENTER = (
    _COUNTERS
    + """
local wait = -1
for _, key in ipairs(deciding) do
  if tonumber(redis.call('GET', key) or '0') >= tonumber(ARGV[1]) then
    wait = math.max(wait, redis.call('PTTL', key))
  end
end
if wait >= 0 then return wait end
for _, keys in ipairs({deciding, others}) do
  for _, key in ipairs(keys) do
    if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, ARGV[2]) end
  end
end
if deciding[1] == KEYS[4] then
  redis.call('SADD', KEYS[2], KEYS[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return -1
"""
)

# What decided is proved; of an address only this attempt is: others may share it.
# ARGV  how long the name is known at the address, in milliseconds
_FORGET = (
    _COUNTERS
    + """
redis.call('DEL', deciding[1])
if KEYS[3] then
  if redis.call('EXISTS', KEYS[3]) == 1 then redis.call('DECR', KEYS[3]) end
  redis.call('SET', KEYS[5], '1', 'PX', ARGV[1])
end
return 0
"""
)

# KEYS  1 and 2 as above, of a name; or the counter of an address
_UNLOCK = """
if KEYS[2] then
  for _, key in ipairs(redis.call('SMEMBERS', KEYS[2])) do redis.call('DEL', key) end
end
redis.call('DEL', unpack(KEYS))
return 0
"""


class LoginLimit:
    """Counts wrong logins. Every method raises DependencyUnavailable when Redis is away."""

    def __init__(self, *, redis: Redis, hasher: SecretHasher) -> None:
        self._hasher = hasher
        self._enter = redis.register_script(_ENTER)
        self._forget = redis.register_script(_FORGET)
        self._unlock = redis.register_script(_UNLOCK)

    async def enter(self, *, username: str, client_address: str) -> None:
        """Count an attempt. Raises CapacityError TOO_MANY_LOGINS when there were too many."""
        with redis_errors():
            wait_ms = await self._enter(
                keys=self._keys(username, client_address), args=[MAX_WRONG_LOGINS, WINDOW // _MILLISECOND]
            )
        if int(wait_ms) >= 0:
            raise CapacityError(
                "Too many wrong logins; try again later.",
                reason="TOO_MANY_LOGINS",
                retry_after=max(timedelta(milliseconds=int(wait_ms)), timedelta(seconds=1)),
            )

    async def forget(self, *, username: str, client_address: str) -> None:
        """Take back what was counted: the login was right. The name is known at this address from now on."""
        with redis_errors():
            await self._forget(keys=self._keys(username, client_address), args=[KNOWN_FOR // _MILLISECOND])

    async def unlock(self, *, username: str, client_address: str) -> None:
        """Forget the wrong logins for a name, wherever they came from, and those from an address. Safe to repeat."""
        with redis_errors():
            if username:
                await self._unlock(keys=self._keys(username, ""))
            if client_address:
                await self._unlock(keys=[self._key(f"address:{_counted_as(client_address)}")])

    def _keys(self, username: str, client_address: str) -> list[str]:
        keys = [self._key(f"name:{username}"), self._key(f"pairs:{username}")]
        if client_address:
            address = _counted_as(client_address)
            keys += [self._key(f"{kind}:{address}\0{username}") for kind in ("pair", "known")]
            keys.insert(2, self._key(f"address:{address}"))
        return keys

    def _key(self, name: str) -> str:
        # Hashed: what people type into a name field may be a password.
        return f"{KEY_PREFIX}:login:{self._hasher.hash(name, purpose='login')}"


def _counted_as(client_address: str) -> str:
    """The address, or the /64 network of an IPv6 address: who has one of its addresses has all of them."""
    try:
        address = ipaddress.ip_address(client_address.partition("%")[0])
    except ValueError:
        return client_address
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
