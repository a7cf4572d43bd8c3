"""The provider ``flow``: session accounts of Google Flow."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from flow2api_common.clock import Clock, utc_now
from flow2api_upstream.flow import credits as flow_credits
from flow2api_upstream.flow import images, projects, session, upload, videos_status, videos_submit
from flow2api_upstream.flow import media as flow_media
from flow2api_upstream.flow.calls import FlowCalls
from flow2api_upstream.http import HttpClient
from flow2api_upstream.port import (
    AccessGrant,
    Account,
    AccountState,
    Capabilities,
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
    VideoCall,
    VideoKind,
    VideoSubmission,
)
from flow2api_upstream.settings import UpstreamSettings

_CAPABILITIES = Capabilities(
    images=True,
    image_upscale=True,
    video_kinds=frozenset(VideoKind),
    has_credits=True,
    has_projects=True,
    refreshes=True,
    max_operations_per_check=videos_status.MAX_OPERATIONS_PER_CHECK,
)


class FlowProvider:
    """``Provider`` over the calls of this package."""

    def __init__(self, settings: UpstreamSettings, client: HttpClient, *, clock: Clock = utc_now) -> None:
        self._client = client
        self._calls = FlowCalls(settings, client, clock)

    @property
    def name(self) -> str:
        """``flow``."""
        return "flow"

    @property
    def capabilities(self) -> Capabilities:
        """Everything of the port."""
        return _CAPABILITIES

    async def refresh(self, secret: Secret, *, proxy_url: str = "") -> AccessGrant:
        """Buy an access token with the session cookie."""
        return await session.refresh(self._calls, secret, proxy_url=proxy_url)

    async def probe(self, account: Account) -> AccountState:
        """Read tier and credits."""
        return await flow_credits.probe(self._calls, account)

    async def create_project(self, account: Account, title: str) -> Project:
        """Make a project."""
        return await projects.create_project(self._calls, account, title)

    async def upload_image(self, account: Account, image: SourceImage) -> UploadedImage:
        """Send a picture up into the account's project."""
        return await upload.upload_image(self._calls, account, image)

    async def generate_image(self, account: Account, call: ImageCall) -> ImageResult:
        """Make one picture of the base resolution (1K); larger ones by ``upscale_image``."""
        return await images.generate_image(self._calls, account, call)

    async def upscale_image(self, account: Account, media: MediaHandle, resolution: str) -> ImageResult:
        """Enlarge a picture to ``2K`` or ``4K``."""
        return await images.upscale_image(self._calls, account, media, resolution)

    async def submit_video(self, account: Account, call: VideoCall) -> VideoSubmission:
        """Hand in one clip."""
        return await videos_submit.submit_video(self._calls, account, call)

    async def check_videos(
        self, account: Account, operations: Sequence[OperationHandle]
    ) -> Mapping[OperationHandle, OperationStatus]:
        """Look at many clips in one call."""
        return await videos_status.check_videos(self._calls, account, operations)

    def fetch_video(self, account: Account, media: MediaHandle) -> AbstractAsyncContextManager[MediaStream]:
        """Open a finished clip."""
        return flow_media.fetch_video(self._calls, account, media)

    def fetch_url(self, account: Account, url: str) -> AbstractAsyncContextManager[MediaStream]:
        """Open a signed address."""
        return flow_media.fetch_url(self._calls, account, url)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()
