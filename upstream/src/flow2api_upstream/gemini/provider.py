"""The provider ``gemini``: API keys of the Gemini Developer API."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from flow2api_common.clock import Clock, utc_now
from flow2api_upstream.gemini import files, images, interactions, models
from flow2api_upstream.gemini.calls import GeminiCalls
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
    video_kinds=frozenset(interactions.KINDS),
    has_credits=False,
    has_projects=False,
    refreshes=False,
    max_operations_per_check=interactions.MAX_OPERATIONS_PER_CHECK,
)


class GeminiProvider:
    """``Provider`` over the calls of this package."""

    def __init__(self, settings: UpstreamSettings, client: HttpClient, *, clock: Clock = utc_now) -> None:
        self._client = client
        self._calls = GeminiCalls(settings, client, clock)

    @property
    def name(self) -> str:
        """``gemini``."""
        return "gemini"

    @property
    def capabilities(self) -> Capabilities:
        """Pictures of every size at once, clips by interactions; no projects, no credits, nothing to refresh."""
        return _CAPABILITIES

    async def refresh(self, secret: Secret, *, proxy_url: str = "") -> AccessGrant:  # noqa: ARG002 -- the port's
        """The key itself, which does not end; ``probe`` proves it."""
        return AccessGrant(bearer=secret.value, expire_time=None)

    async def probe(self, account: Account) -> AccountState:
        """Prove the key."""
        return await models.probe(self._calls, account)

    async def create_project(self, account: Account, title: str) -> Project:  # noqa: ARG002 -- the port's
        """Not here: raises BAD_INPUT."""
        raise _unsupported("The Gemini API has no projects.")

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
        raise _unsupported("The Gemini API makes large pictures at once; it enlarges none.")

    async def submit_video(self, account: Account, call: VideoCall) -> VideoSubmission:
        """Hand in one clip."""
        return await interactions.submit_video(self._calls, account, call)

    async def check_videos(
        self, account: Account, operations: Sequence[OperationHandle]
    ) -> Mapping[OperationHandle, OperationStatus]:
        """Look at the clips, one call each."""
        return await interactions.check_videos(self._calls, account, operations)

    def fetch_video(self, account: Account, media: MediaHandle) -> AbstractAsyncContextManager[MediaStream]:
        """Open a finished clip."""
        return files.fetch_video(self._calls, account, media)

    def fetch_url(self, account: Account, url: str) -> AbstractAsyncContextManager[MediaStream]:
        """Open a file of the API."""
        return files.fetch_url(self._calls, account, url)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _unsupported(message: str) -> UpstreamFailure:
    return UpstreamFailure(FailureClass.BAD_INPUT, message, reason="unsupported")
