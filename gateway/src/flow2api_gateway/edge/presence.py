"""Work that is worth doing only while its client is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.lifecycle import end_tasks
from flow2api_gateway.edge.draining import Departure, Drain

T = TypeVar("T")


@asynccontextmanager
async def departure_watch(
    receive: Receive, drain: Drain, *, can_be_resumed: bool = False
) -> AsyncIterator[asyncio.Future[Departure]]:
    """A future that is done when the client has gone or the gateway ends. The body must have been read to its end."""
    with drain.attend(can_be_resumed=can_be_resumed) as departure:
        watcher = asyncio.create_task(_set_when_gone(receive, departure), name="client-presence")
        try:
            yield departure
        finally:
            await end_tasks([watcher])


async def while_present(receive: Receive, drain: Drain, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client goes (ClientDisconnect) or the gateway ends
    (DependencyUnavailable SHUTTING_DOWN, not to be repeated: what was begun may be paid for)."""
    task = asyncio.create_task(work, name="answer")
    try:
        async with departure_watch(receive, drain) as departure:
            awaited: set[asyncio.Future[Any]] = {task, departure}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            reason = departure.result()
    finally:
        await end_tasks([task])
    if reason is Departure.CLIENT_GONE:
        raise ClientDisconnect
    raise shutting_down()


def shutting_down() -> DependencyUnavailable:
    """The error of an answer that the end of the gateway cut off."""
    return DependencyUnavailable("The gateway is shutting down.", reason="SHUTTING_DOWN", metadata={"paid": "true"})


async def _set_when_gone(receive: Receive, departure: asyncio.Future[Departure]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if not departure.done():
        departure.set_result(Departure.CLIENT_GONE)
