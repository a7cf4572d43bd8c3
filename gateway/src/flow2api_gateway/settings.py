"""Settings of the gateway."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from flow2api_common.grpc_tls import GrpcClientTlsSettings
from flow2api_common.settings import (
    CommaList,
    Duration,
    GenerationClientSettings,
    MediaSettings,
    OutboundSettings,
    SecretKeySettings,
    ServiceAuthSettings,
    TokenClientSettings,
)
from flow2api_gateway.edge.patience import Patience


def _check_base_url(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
        raise ValueError("must be http(s)://host[:port][/path]")
    return url.rstrip("/")


class GatewaySettings(
    ServiceAuthSettings,
    GrpcClientTlsSettings,
    TokenClientSettings,
    GenerationClientSettings,
    MediaSettings,
    SecretKeySettings,
    OutboundSettings,
):
    """What the gateway needs to run."""

    generation_server_name: str = ""
    """Name in the generation service's certificate, when it is not the host of ``FLOW2API_GENERATION_ADDR``."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    public_url: Annotated[str, AfterValidator(_check_base_url)] = ""
    """Base of the links handed to clients; empty: where the gateway listens."""
    cors_origins: CommaList = ()
    """Origins whose pages may call the API from a browser; ``*`` for all."""

    max_body_bytes: Annotated[int, Field(gt=0)] = 64 << 20
    max_image_bytes: Annotated[int, Field(gt=0)] = 50 << 20
    """One input picture, wherever it comes from."""
    max_image_pixels: Annotated[int, Field(gt=0)] = 64_000_000
    """Width times height of one input picture: a small file may unfold into a huge one."""

    large_pictures_at_once: Annotated[int, Field(gt=0)] = 4
    """How many large input pictures are in memory at a time, on their way to the store; further ones wait on disk."""
    json_bytes_at_once: Annotated[int, Field(gt=0)] = 32 << 20
    """Bytes of large JSON bodies (above 1 MiB) that are read at a time, each of which takes about twice its size in
    memory; further ones wait in temporary files (``TMPDIR``). A body above this is read alone."""

    allow_http_images: bool = False
    """Whether remote pictures may come over plain http."""
    image_fetch_timeout: Duration = timedelta(seconds=20)

    heartbeat_interval: Duration = timedelta(seconds=12)
    """Quiet time in a stream after which a comment is sent."""
    drain_timeout: Duration = timedelta(seconds=20)
    """How long answers that are under way may go on when the gateway ends; streams that can be resumed end at once."""
    request_head_timeout: Duration = timedelta(seconds=20)
    """How long a connection may take to send the head of a request; then it is cut."""
    request_body_pause: Duration = timedelta(seconds=30)
    """Longest silence within a request body; then the answer is 408."""
    request_body_timeout: Duration = timedelta(minutes=10)
    """Longest time for a whole request body; then the answer is 408."""
    answer_unread_timeout: Duration = timedelta(minutes=2)
    """How long a client may leave an answer unread before its connection is cut."""
    image_answer_timeout: Duration = timedelta(minutes=10)
    """Longest image generation; the SDKs wait as long."""
    video_answer_timeout: Duration = timedelta(hours=1)
    """Longest wait for a video in one answer; the job itself goes on."""
    media_link_lifetime: Duration = timedelta(days=7)

    @property
    def patience(self) -> Patience:
        """How long clients may keep us waiting."""
        return Patience(
            head=self.request_head_timeout,
            body_pause=self.request_body_pause,
            body=self.request_body_timeout,
            reading=self.answer_unread_timeout,
        )
