"""API keys, checked by the token-service and remembered for the few seconds that it allows."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from flow2api_common.errors import Unauthenticated
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.lifecycle import end_tasks
from flow2api_proto.access.v1 import access_service_pb2, access_service_pb2_grpc

_MAX_REMEMBERED: Final = 10_000
_MAX_SECRET_LENGTH: Final = 512
_CHECK_SECONDS: Final = 10.0


class ApiKeys:
    """Tells whose key it is.

    A good answer is reused for its ``cache_duration``; many requests with one key that come at once ask once. A refused
    key is not remembered: it may be created the next moment. Fails closed: when nobody can be asked, nobody gets in.
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
        self._remembered: OrderedDict[bytes, tuple[float, access_service_pb2.ApiKey]] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[access_service_pb2.ApiKey]] = {}

    async def authenticate(self, secret: str) -> access_service_pb2.ApiKey:
        """The key. Raises Unauthenticated API_KEY_INVALID, DependencyUnavailable."""
        if not secret or len(secret) > _MAX_SECRET_LENGTH:
            raise Unauthenticated(
                "You did not provide a valid API key. Send it as 'Authorization: Bearer YOUR_KEY'.",
                reason="API_KEY_INVALID",
            )
        digest = hashlib.sha256(secret.encode()).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and remembered[0] > self._monotonic():
            return remembered[1]
        task = self._running.get(digest)
        if task is None:
            task = asyncio.create_task(self._ask(secret, digest), name="authenticate-api-key")
            self._running[digest] = task
            task.add_done_callback(lambda done: self._forget_running(digest, done))
        # One of many waiters that goes away must not take the answer from the others.
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Cancel what is under way."""
        await end_tasks(self._running.values())

    async def _ask(self, secret: str, digest: bytes) -> access_service_pb2.ApiKey:
        with rpc_errors("token"):
            answer = await self._access.AuthenticateApiKey(
                access_service_pb2.AuthenticateApiKeyRequest(secret=secret), timeout=_CHECK_SECONDS
            )
        lifetime = answer.cache_duration.ToTimedelta().total_seconds()
        if lifetime > 0:
            self._remembered[digest] = (self._monotonic() + lifetime, answer.api_key)
            self._remembered.move_to_end(digest)
            if len(self._remembered) > _MAX_REMEMBERED:
                self._remembered.popitem(last=False)
        return answer.api_key

    def _forget_running(self, digest: bytes, done: asyncio.Task[access_service_pb2.ApiKey]) -> None:
        self._running.pop(digest, None)
        if not done.cancelled():
            done.exception()  # Seen by the waiters; when all of them have gone, it is of no use to anybody.
