"""Listens for changes of API keys for as long as the gateway runs."""

from __future__ import annotations

import asyncio
from typing import Final

from flow2api_common.errors import Flow2APIError
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.logs import get_logger
from flow2api_gateway.auth.api_keys import ApiKeys
from flow2api_proto.access.v1 import access_service_pb2, access_service_pb2_grpc

_RETRY_SECONDS: Final = (0.1, 0.25, 0.5, 1.0)
_SILENCE_SECONDS: Final = 5.0
log = get_logger(__name__)


class AccessWatch:
    """Keeps `ApiKeys` told, by any replica of the token service; another one when that ends or falls silent."""

    def __init__(self, access: access_service_pb2_grpc.AccessServiceAsyncStub, api_keys: ApiKeys) -> None:
        self._access = access
        self._api_keys = api_keys
        self._failures = 0

    async def run(self) -> None:
        """Listen for ever."""
        while True:
            try:
                await self._listen()
            except (Flow2APIError, TimeoutError) as error:
                if self._failures == 0:
                    log.info("access_watch_lost", reason=getattr(error, "reason", "SILENCE"))
            except Exception:
                # Without a listener keys are asked about more often, which is no reason to end the gateway.
                log.exception("access_watch_failed")
            finally:
                self._api_keys.hear_nothing()
            await asyncio.sleep(_RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS) - 1)])
            self._failures += 1

    async def _listen(self) -> None:
        call = self._access.WatchAccessChanges(access_service_pb2.WatchAccessChangesRequest())
        try:
            with rpc_errors("token"):
                messages, is_new = aiter(call), True
                while True:
                    async with asyncio.timeout(_SILENCE_SECONDS):
                        message = await anext(messages, None)
                    if message is None:
                        return
                    if is_new:
                        self._failures, is_new = 0, False
                        self._api_keys.hear_anew()
                    self._api_keys.hear(message.api_key_ids)
        finally:
            call.cancel()
