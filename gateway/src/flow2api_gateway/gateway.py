"""Everything that the endpoints use, built once by the composition root."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import Request

from flow2api_common.media_store import MediaStore
from flow2api_gateway.auth.api_keys import ApiKeys
from flow2api_gateway.auth.session_cookie import SessionCookies
from flow2api_gateway.clients import Peers
from flow2api_gateway.edge.draining import Drain
from flow2api_gateway.fetch.fetcher import ImageFetcher
from flow2api_gateway.gemini.files.parts import UploadParts
from flow2api_gateway.gemini.files.tickets import UploadTickets
from flow2api_gateway.generation.catalog import Catalog
from flow2api_gateway.media.converted import ConvertedPictures
from flow2api_gateway.media.links import MediaLinks
from flow2api_gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts of a running gateway."""

    settings: GatewaySettings
    peers: Peers
    api_keys: ApiKeys
    session_cookies: SessionCookies
    catalog: Catalog
    links: MediaLinks
    media_store: MediaStore
    converted: ConvertedPictures
    fetcher: ImageFetcher
    large_picture_turns: asyncio.Semaphore
    drain: Drain
    upload_tickets: UploadTickets
    upload_parts: UploadParts


def gateway_of(request: Request) -> Gateway:
    """The gateway that serves this request."""
    return cast("Gateway", request.app.state.gateway)


GatewayDep = Annotated[Gateway, Depends(gateway_of)]
