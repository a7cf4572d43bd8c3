"""API keys, checked by the token-service and remembered for as long as it allows."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from flow2api_common.errors import Unauthenticated
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.lifecycle import end_tasks
from flow2api_proto.access.v1 import access_service_pb2, access_service_pb2_grpc

_MAX_REMEMBERED: Final = 10_000
_MAX_SECRET_LENGTH: Final = 512
_CHECK_SECONDS: Final = 10.0
_CHECKS: Final = 3
_SILENCE_SECONDS: Final = 3.0
"""Changes are told at least every two seconds; after this the teller is taken for gone."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    api_key: access_service_pb2.ApiKey
    until: float
    unwatched_until: float


class ApiKeys:
    """Tells whose key it is.

    A good answer is reused: for its ``cache_duration`` while changes are heard of (`hear`), else for its
    ``unwatched_cache_duration``. Many requests with one key that come at once ask once. A refused key is not
    remembered, as it may be created the next moment. Fails closed: when nobody can be asked, nobody gets in.
    """

    def __init__(
        self,
        access: access_service_pb2_grpc.AccessServiceAsyncStub,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._access = access
        self._monotonic = monotonic
        # By digest, so that secrets do not lie about in memory.
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[access_service_pb2.ApiKey]] = {}
        self._heard_at: float | None = None
        self._changes = 0

    async def authenticate(self, secret: str) -> access_service_pb2.ApiKey:
        """The key. Raises Unauthenticated API_KEY_INVALID, DependencyUnavailable."""
        if not secret or len(secret) > _MAX_SECRET_LENGTH:
            raise Unauthenticated(
                "You did not provide a valid API key. Send it as 'Authorization: Bearer YOUR_KEY'.",
                reason="API_KEY_INVALID",
            )
        digest = hashlib.sha256(secret.encode()).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and self._is_good(remembered):
            return remembered.api_key
        task = self._running.get(digest)
        if task is None:
            task = asyncio.create_task(self._ask(secret, digest), name="authenticate-api-key")
            self._running[digest] = task
            task.add_done_callback(lambda done: self._forget_running(digest, done))
        # One of many waiters that goes away must not take the answer from the others.
        return await asyncio.shield(task)

    @property
    def hears_changes(self) -> bool:
        """Whether changes are told now."""
        return self._heard_at is not None and self._monotonic() - self._heard_at < _SILENCE_SECONDS

    def hear(self, api_key_ids: Collection[str]) -> None:
        """Changes are told, and these keys were changed since they were last; mostly none."""
        self._heard_at = self._monotonic()
        if api_key_ids:
            self._changes += 1
            stale = [digest for digest, each in self._remembered.items() if each.api_key.api_key_id in api_key_ids]
            for digest in stale:
                del self._remembered[digest]

    def hear_anew(self) -> None:
        """Changes are told from now on; what was before may have been missed."""
        self._heard_at = self._monotonic()
        self._changes += 1
        self._remembered.clear()

    def hear_nothing(self) -> None:
        """Changes are not told any more."""
        self._heard_at = None

    async def aclose(self) -> None:
        """Cancel what is under way."""
        await end_tasks(list(self._running.values()))

    def _is_good(self, remembered: _Remembered) -> bool:
        return self._monotonic() < (remembered.until if self.hears_changes else remembered.unwatched_until)

    async def _ask(self, secret: str, digest: bytes) -> access_service_pb2.ApiKey:
        request = access_service_pb2.AuthenticateApiKeyRequest(secret=secret)
        checks = 0
        while True:
            changes = self._changes
            with rpc_errors("token"):
                answer = await self._access.AuthenticateApiKey(request, timeout=_CHECK_SECONDS)
            checks += 1
            if changes == self._changes:
                self._remember(digest, answer)
                return answer.api_key
            # The answer may be older than a change that was told meanwhile. Where changes never end, it has to do.
            if checks == _CHECKS:
                return answer.api_key

    def _remember(self, digest: bytes, answer: access_service_pb2.AuthenticateApiKeyResponse) -> None:
        now = self._monotonic()
        self._remembered[digest] = _Remembered(
            answer.api_key,
            until=now + answer.cache_duration.ToTimedelta().total_seconds(),
            unwatched_until=now + answer.unwatched_cache_duration.ToTimedelta().total_seconds(),
        )
        self._remembered.move_to_end(digest)
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _forget_running(self, digest: bytes, done: asyncio.Task[access_service_pb2.ApiKey]) -> None:
        self._running.pop(digest, None)
        if not done.cancelled():
            done.exception()  # Seen by the waiters; when all of them have gone, it is of no use to anybody.
