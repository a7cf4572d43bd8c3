"""A gRPC channel whose certificates may change while it is open.

gRPC's own channel keeps the credentials that it was opened with. This one opens another when the files have changed;
calls under way end on the old one, which is closed after the last of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

import grpc

from flow2api_common.certificates import WatchedFiles

_LOOK_INTERVAL = timedelta(seconds=1)


class RenewingChannel(grpc.aio.Channel):
    """Looks at the files when a call begins, at most once per ``look_interval``."""

    def __init__(
        self,
        files: WatchedFiles[grpc.ChannelCredentials],
        connect: Callable[[grpc.ChannelCredentials], grpc.aio.Channel],
        *,
        look_interval: timedelta = _LOOK_INTERVAL,
    ) -> None:
        self._files = files
        self._connect = connect
        self._look_interval = look_interval
        self._looked = time.monotonic()
        self._line = _Line(connect(files.current))
        self._retiring: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """As gRPC's own."""
        return self._method("unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """As gRPC's own."""
        return self._method("unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """As gRPC's own."""
        return self._method("stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """As gRPC's own."""
        return self._method("stream_stream", args, kwargs)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - gRPC's form
        """Of the newest connection."""
        return self._line.channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Of the newest connection."""
        await self._line.channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the newest connection can be used."""
        await self._line.channel.channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Close every connection; calls under way on the newest get ``grace`` seconds."""
        self._is_closed = True
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._line.channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    def _method(self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
        on_line = self._line
        method = getattr(on_line.channel, kind)(*args, **kwargs)

        def call(*call_args: Any, **call_kwargs: Any) -> Any:
            nonlocal on_line, method
            line = self._newest()
            if line is not on_line:
                on_line, method = line, getattr(line.channel, kind)(*args, **kwargs)
            return line.track(method(*call_args, **call_kwargs))

        return call

    def _newest(self) -> _Line:
        now = time.monotonic()
        if self._is_closed or now - self._looked < self._look_interval.total_seconds():
            return self._line
        self._looked = now
        credentials = self._files.look()
        if credentials is not None:
            old, self._line = self._line, _Line(self._connect(credentials))
            task = asyncio.create_task(old.close_when_idle(), name="retire-grpc-channel")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)
        return self._line


class _Line:
    """One gRPC channel and the calls under way on it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._calls: set[Any] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def track(self, call: Any) -> Any:
        self._calls.add(call)
        self._idle.clear()
        call.add_done_callback(lambda _call: self._ended(call))
        return call

    async def close_when_idle(self) -> None:
        """Wait for the calls to end; a cancellation ends them."""
        try:
            await self._idle.wait()
        finally:
            await self.channel.close()

    def _ended(self, call: Any) -> None:
        self._calls.discard(call)
        if not self._calls:
            self._idle.set()
