"""The provider ``vertex``: one project in one location, by any credential of Google's cloud."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from flow2api_common.clock import Clock, utc_now
from flow2api_upstream.google import checks, images, interactions, veo
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.handles import GoogleMedia
from flow2api_upstream.google.media import inline_clip
from flow2api_upstream.http import HttpClient
from flow2api_upstream.port import (
    AccessGrant,
    Account,
    AccountState,
    Capabilities,
    FailureClass,
    ImageCall,
    ImageResult,
    MediaHandle,
    MediaStream,
    OperationHandle,
    OperationStatus,
    Project,
    Secret,
    SourceImage,
    UploadedImage,
    UpstreamFailure,
    VideoCall,
    VideoSubmission,
)
from flow2api_upstream.settings import UpstreamSettings
from flow2api_upstream.vertex.api import VertexApi
from flow2api_upstream.vertex.extension import extension_source
from flow2api_upstream.vertex.probe import probe
from flow2api_upstream.vertex.refresh import Refreshing
from flow2api_upstream.vertex.storage import fetch_object

_CAPABILITIES = Capabilities(
    images=True,
    image_upscale=False,
    video_kinds=frozenset(interactions.KINDS) | frozenset(veo.KINDS),
    has_credits=False,
    has_projects=False,
    refreshes=True,
    max_operations_per_check=checks.MAX_OPERATIONS_PER_CHECK,
    has_locations=True,
    quotas_per_model=True,
    quotas_per_project=True,
    people_in_images=True,
)


class VertexProvider:
    """``Provider`` over the calls of this package."""

    def __init__(self, settings: UpstreamSettings, client: HttpClient, *, clock: Clock = utc_now) -> None:
        self._settings = settings
        self._client = client
        self._api = VertexApi(settings.vertex_url.rstrip("/"))
        self._calls = GoogleCalls(self._api, settings, client, clock)
        self._refreshing = Refreshing(settings, client, clock)

    @property
    def name(self) -> str:
        """``vertex``."""
        return self._api.provider

    @property
    def capabilities(self) -> Capabilities:
        """Pictures of every size at once, clips by Veo and interactions; access tokens that end."""
        return _CAPABILITIES

    async def refresh(self, secret: Secret, *, proxy_url: str = "") -> AccessGrant:
        """Buy an access token; an express key is one itself, and does not end."""
        return await self._refreshing.grant(secret, proxy_url=proxy_url)

    async def probe(self, account: Account) -> AccountState:
        """Prove that the account may work in its project."""
        return await probe(self._calls, account)

    async def create_project(self, account: Account, title: str) -> Project:  # noqa: ARG002 -- the port's
        """Not here: raises BAD_INPUT."""
        raise _unsupported("Projects of Google's cloud are made in its console.")

    async def upload_image(self, account: Account, image: SourceImage) -> UploadedImage:  # noqa: ARG002 -- the port's
        """Only wrapped: the call carries the bytes."""
        return UploadedImage(inline=image)

    async def generate_image(self, account: Account, call: ImageCall) -> ImageResult:
        """Make one picture of any resolution that the model has."""
        return await images.generate_image(self._calls, account, call)

    async def upscale_image(
        self,
        account: Account,  # noqa: ARG002 -- the port's
        media: MediaHandle,  # noqa: ARG002 -- the port's
        resolution: str,  # noqa: ARG002 -- the port's
    ) -> ImageResult:
        """Not here: raises BAD_INPUT."""
        raise _unsupported("Vertex makes large pictures at once; it enlarges none.")

    async def submit_video(self, account: Account, call: VideoCall) -> VideoSubmission:
        """Hand in one clip, by the call that its model has."""
        bucket = self._settings.vertex_storage_uri
        if not veo.is_veo(call.upstream_model):
            return await interactions.submit_video(self._calls, account, call, bucket=bucket)
        extras = veo.VeoExtras(
            source=await extension_source(self._calls, account, call.source) if call.source else None,
            parameters={
                "seed": veo.veo_seed(call.seed),
                "generateAudio": call.generate_audio,
                **({"storageUri": bucket} if bucket else {}),
            },
        )
        return await veo.submit_video(self._calls, account, call, extras)

    async def check_videos(
        self, account: Account, operations: Sequence[OperationHandle]
    ) -> Mapping[OperationHandle, OperationStatus]:
        """Look at the clips, one call each."""
        return await checks.check_videos(self._calls, account, operations)

    @asynccontextmanager
    async def fetch_video(self, account: Account, media: MediaHandle) -> AsyncIterator[MediaStream]:
        """Open a finished clip, in a bucket or inside the answer."""
        named = GoogleMedia.read(self._api.provider, media)
        opened = (
            fetch_object(self._calls, account, named.uri) if named.uri else inline_clip(self._calls, account, named)
        )
        async with opened as stream:
            yield stream

    def fetch_url(self, account: Account, url: str) -> AbstractAsyncContextManager[MediaStream]:
        """Open an object of a bucket."""
        return fetch_object(self._calls, account, url)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _unsupported(message: str) -> UpstreamFailure:
    return UpstreamFailure(FailureClass.BAD_INPUT, message, reason="unsupported")
