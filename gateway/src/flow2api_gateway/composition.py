"""Builds the gateway and runs it while its context is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from flow2api_common.keys import derive_key
from flow2api_common.lifecycle import BackgroundTasks, RunningService
from flow2api_common.logs import get_logger
from flow2api_common.media_store import MediaStore
from flow2api_gateway.app import build_app
from flow2api_gateway.auth import session_cookie
from flow2api_gateway.auth.access_watch import AccessWatch
from flow2api_gateway.auth.api_keys import ApiKeys
from flow2api_gateway.auth.session_cookie import SessionCookies
from flow2api_gateway.clients import connected_peers
from flow2api_gateway.edge.draining import Drain
from flow2api_gateway.fetch.fetcher import ImageFetcher
from flow2api_gateway.gateway import Gateway
from flow2api_gateway.gemini.files import tickets
from flow2api_gateway.gemini.files.parts import UploadParts
from flow2api_gateway.gemini.files.tickets import UploadTickets
from flow2api_gateway.generation.catalog import Catalog
from flow2api_gateway.media.converted import ConvertedPictures
from flow2api_gateway.media.links import KEY_PURPOSE, MediaLinks
from flow2api_gateway.server import HttpServer, bind
from flow2api_gateway.settings import GatewaySettings

_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not bound to.
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway that answers at ``address``."""

    address: str
    server: HttpServer
    name: str = "gateway"

    async def wait(self) -> None:
        """Return never while all is well; raise what made the server fail."""
        await self.server.wait()


@asynccontextmanager
async def running_gateway(settings: GatewaySettings) -> AsyncIterator[RunningService]:
    """Answers HTTP while inside. ``address`` is ``http://host:port`` with the port that was bound.

    The services behind may come later: they are connected when they are there. On leaving, running answers get
    ``drain_timeout``. Raises OSError when the port is taken.
    """
    async with AsyncExitStack() as stack:
        listener = bind(settings.host, settings.port)
        stack.callback(listener.close)
        address = _address(settings.host, listener.getsockname()[1])
        gateway = await build_gateway(stack, settings, base_url=settings.public_url or address)
        server = HttpServer(build_app(gateway), listener, gateway.drain, settings.patience)
        await server.start()
        stack.push_async_callback(server.stop, settings.drain_timeout.total_seconds())
        log.info("gateway_listening", address=address)
        yield RunningGateway(address=address, server=server)


async def build_gateway(stack: AsyncExitStack, settings: GatewaySettings, *, base_url: str) -> Gateway:
    """The parts of a gateway, closed by ``stack``."""
    peers = await stack.enter_async_context(connected_peers(settings))
    api_keys = ApiKeys(peers.access)
    stack.push_async_callback(api_keys.aclose)
    background = await stack.enter_async_context(BackgroundTasks())
    background.start("access-watch", AccessWatch(peers.access, api_keys).run())
    fetcher = ImageFetcher(
        max_bytes=settings.max_image_bytes,
        timeout=settings.image_fetch_timeout,
        allowed_private=settings.allow_private_hosts,
        allow_http=settings.allow_http_images,
    )
    stack.push_async_callback(fetcher.aclose)
    links = MediaLinks(
        key=derive_key(settings.secret_key, KEY_PURPOSE), base_url=base_url, lifetime=settings.media_link_lifetime
    )
    media_store = MediaStore.open(settings.media_url)
    return Gateway(
        settings=settings,
        peers=peers,
        api_keys=api_keys,
        session_cookies=SessionCookies(
            key=derive_key(settings.secret_key, session_cookie.KEY_PURPOSE), base_url=base_url
        ),
        catalog=Catalog(peers.generation),
        links=links,
        media_store=media_store,
        converted=ConvertedPictures(store=media_store, generation=peers.generation),
        fetcher=fetcher,
        large_picture_turns=asyncio.Semaphore(settings.large_pictures_at_once),
        drain=Drain(),
        upload_tickets=UploadTickets(key=derive_key(settings.secret_key, tickets.KEY_PURPOSE)),
        upload_parts=UploadParts(media_store),
    )


def _address(host: str, port: int) -> str:
    shown = _ANY_HOST.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"
