"""The provider ``gemini``: API keys of the Gemini Developer API."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from flow2api_common.clock import Clock, utc_now
from flow2api_upstream.gemini import files, models
from flow2api_upstream.gemini.api import GeminiApi
from flow2api_upstream.gemini.uploads import fitted
from flow2api_upstream.google import checks, images, interactions, veo
from flow2api_upstream.google.calls import GoogleCalls
from flow2api_upstream.google.handles import GoogleMedia
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

_CAPABILITIES = Capabilities(
    images=True,
    image_upscale=False,
    video_kinds=frozenset(interactions.KINDS) | frozenset(veo.KINDS),
    has_credits=False,
    has_projects=False,
    refreshes=False,
    max_operations_per_check=checks.MAX_OPERATIONS_PER_CHECK,
    quotas_per_model=True,
    quotas_per_project=True,
)


class GeminiProvider:
    """``Provider`` over the calls of this package."""

    def __init__(self, settings: UpstreamSettings, client: HttpClient, *, clock: Clock = utc_now) -> None:
        self._client = client
        self._api = GeminiApi(settings.gemini_url.rstrip("/"))
        self._calls = GoogleCalls(self._api, settings, client, clock)

    @property
    def name(self) -> str:
        """``gemini``."""
        return "gemini"

    @property
    def capabilities(self) -> Capabilities:
        """Pictures of every size at once, clips by interactions and Veo; no projects or credits, nothing to refresh."""
        return _CAPABILITIES

    async def refresh(self, secret: Secret, *, proxy_url: str = "") -> AccessGrant:  # noqa: ARG002 -- the port's
        """The key itself, which does not end; ``probe`` proves it."""
        return AccessGrant(bearer=secret.value, expire_time=None)

    async def probe(self, account: Account) -> AccountState:
        """Prove the key."""
        return await models.probe(self._calls, self._api, account)

    async def create_project(self, account: Account, title: str) -> Project:  # noqa: ARG002 -- the port's
        """Not here: raises BAD_INPUT."""
        raise _unsupported("The Gemini API has no projects.")

    async def upload_image(self, account: Account, image: SourceImage) -> UploadedImage:  # noqa: ARG002 -- the port's
        """Only wrapped: the call carries the bytes."""
        return UploadedImage(inline=image)

    async def generate_image(self, account: Account, call: ImageCall) -> ImageResult:
        """Make one picture of any resolution that the model has."""
        references = await fitted(self._calls, self._api, account, call.references)
        return await images.generate_image(self._calls, account, replace(call, references=references))

    async def upscale_image(
        self,
        account: Account,  # noqa: ARG002 -- the port's
        media: MediaHandle,  # noqa: ARG002 -- the port's
        resolution: str,  # noqa: ARG002 -- the port's
    ) -> ImageResult:
        """Not here: raises BAD_INPUT."""
        raise _unsupported("The Gemini API makes large pictures at once; it enlarges none.")

    async def submit_video(self, account: Account, call: VideoCall) -> VideoSubmission:
        """Hand in one clip, by the call that its model has."""
        if veo.is_veo(call.upstream_model):
            return await veo.submit_video(self._calls, account, call, veo.VeoExtras(source=self._source_of(call)))
        pictures = await fitted(self._calls, self._api, account, call.images)
        return await interactions.submit_video(self._calls, account, replace(call, images=pictures))

    async def check_videos(
        self, account: Account, operations: Sequence[OperationHandle]
    ) -> Mapping[OperationHandle, OperationStatus]:
        """Look at the clips, one call each."""
        return await checks.check_videos(self._calls, account, operations)

    def fetch_video(self, account: Account, media: MediaHandle) -> AbstractAsyncContextManager[MediaStream]:
        """Open a finished clip."""
        return files.fetch_video(self._calls, account, media)

    def fetch_url(self, account: Account, url: str) -> AbstractAsyncContextManager[MediaStream]:
        """Open a file of the API."""
        return files.fetch_url(self._calls, account, url)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _source_of(self, call: VideoCall) -> dict[str, str] | None:
        """The clip to extend, by the URI of its file. Source: docs/upstream/google-official.md, section 8."""
        uri = GoogleMedia.read(self._api.provider, call.source).uri if call.source else ""
        return {"uri": uri} if uri else None


def _unsupported(message: str) -> UpstreamFailure:
    return UpstreamFailure(FailureClass.BAD_INPUT, message, reason="unsupported")
