"""What every upstream family can be asked to do, and the values that go in and out.

A provider is one sub-package that implements ``Provider``. Services hold a ``ProviderRegistry`` and never ask which
family they
speak to: what a family cannot do is said in its ``Capabilities``. Operations and media are named by *handles*: JSON
text written and
read by the provider alone, so that they can be stored and sent around without anybody else knowing the wire formats.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import NewType, Protocol

from flow2api_common.file_bytes import FileBytes

OperationHandle = NewType("OperationHandle", str)
"""JSON text that names a submitted video operation for its provider."""

MediaHandle = NewType("MediaHandle", str)
"""JSON text that names media living upstream, on one token, for its provider."""


class AccountTier(IntEnum):
    """Plans of an account, ordered; the numbers are those of flow2api.tokens.v1.Tier."""

    UNSPECIFIED = 0
    NOT_PAID = 1
    ONE = 2
    TWO = 3


class VideoKind(StrEnum):
    """How a clip is made: the provider chooses its call by this."""

    TEXT = "text"
    FIRST_FRAME = "first_frame"
    FIRST_AND_LAST_FRAME = "first_and_last_frame"
    REFERENCES = "references"
    EXTEND = "extend"
    UPSCALE = "upscale"


@dataclass(frozen=True, slots=True)
class Secret:
    """The long-lived secret of a token: session cookie, API key or service-account JSON. Its repr is masked."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """In whose name to speak: what a lease or a credential answer holds. Secrets are left out of its repr.

    ``credential_version`` names the bearer to the pool once the upstream has refused it, ``proxy_id`` the proxy once it
    has not let a call through (0: none of the pool's).
    """

    token_id: int
    bearer: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    project_id: str = ""
    location: str = ""
    tier: AccountTier = AccountTier.UNSPECIFIED
    proxy_url: str = field(default="", repr=False)
    credential_version: int = 0
    proxy_id: int = 0


@dataclass(frozen=True, slots=True)
class AccessGrant:
    """What a refresh buys. ``expire_time`` is None where the bearer does not end by itself; ``project_id`` is the
    project that the credential itself names, empty if it names none; ``rotated_secret`` replaces the long-lived secret
    when the upstream sent a new one."""

    bearer: str = field(repr=False)
    expire_time: datetime | None
    email: str = ""
    name: str = ""
    project_id: str = ""
    rotated_secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class AccountState:
    """What a probe sees. ``credits`` is None where the provider has none."""

    tier: AccountTier
    credits: int | None


@dataclass(frozen=True, slots=True)
class Project:
    """An upstream project."""

    project_id: str
    title: str


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An input picture. ``mime_type`` is by its bytes. A large one is better left in its file: it is read while it is
    sent."""

    data: bytes | FileBytes = field(repr=False)
    mime_type: str


@dataclass(frozen=True, slots=True)
class UploadedImage:
    """An input picture ready for a generation on the same token and project.

    Exactly one is set: ``handle`` for a picture sent up before, ``inline`` where the call carries the bytes.
    """

    handle: MediaHandle | None = None
    inline: SourceImage | None = None


@dataclass(frozen=True, slots=True)
class ImageCall:
    """One picture to make. ``aspect_ratio`` like ``16:9``; ``resolution`` is ``512``, ``1K``, ``2K`` or ``4K``.

    ``person_generation`` (``allow_all``, ``allow_adult``, ``dont_allow``; empty for the upstream's default) is for
    those that can be told which people may be shown.
    """

    upstream_model: str
    prompt: str
    aspect_ratio: str
    resolution: str
    seed: int
    references: Sequence[UploadedImage] = ()
    person_generation: str = ""


@dataclass(frozen=True, slots=True)
class UsageCount:
    """Tokens as the upstream counted them; zeros where it does not.

    ``thought_tokens`` are those of thinking where they are told apart, beside ``output_tokens``.
    """

    input_tokens: int = 0
    input_text_tokens: int = 0
    input_image_tokens: int = 0
    output_tokens: int = 0
    input_video_tokens: int = 0
    thought_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ImageResult:
    """A picture that was made. Exactly one of ``data`` and ``url`` is set; ``url`` is fetched with
    ``Provider.fetch_url``.

    ``handle`` names it upstream for upscaling or as a later reference; None where the provider keeps nothing.
    """

    data: bytes | None = field(repr=False)
    url: str | None = field(repr=False)
    mime_type: str
    handle: MediaHandle | None
    seed: int | None = None
    text: str = ""
    usage: UsageCount = UsageCount()
    remaining_credits: int | None = None


@dataclass(frozen=True, slots=True)
class VideoCall:
    """One clip to make. ``aspect_ratio`` is ``16:9`` or ``9:16``; ``resolution`` ``720p``, ``1080p`` or ``4k``.

    ``images`` are in the order first frame, last frame, or references. ``source`` is the clip to extend or to upscale.
    ``generate_audio`` and ``person_generation`` (``allow_all``, ``allow_adult``, ``dont_allow``; empty for the
    upstream's default) count where the upstream lets one choose.
    """

    upstream_model: str
    kind: VideoKind
    prompt: str
    aspect_ratio: str
    duration_seconds: int
    resolution: str
    seed: int
    images: Sequence[UploadedImage] = ()
    source: MediaHandle | None = None
    negative_prompt: str = ""
    generate_audio: bool = True
    person_generation: str = ""


@dataclass(frozen=True, slots=True)
class VideoSubmission:
    """An accepted clip. Whoever holds it must not submit again."""

    operation: OperationHandle
    operation_name: str
    remaining_credits: int | None = None


class OperationState(StrEnum):
    """Where an operation stands upstream. MISSING: the answer did not mention it, which is no failure by itself."""

    PENDING = "pending"
    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class OperationStatus:
    """One look at one operation. ``media`` is set when SUCCEEDED, ``failure`` when FAILED; ``progress`` is a fraction
    in [0, 1] where the upstream tells one; ``usage`` is what it has counted, None where it counts nothing."""

    operation: OperationHandle
    state: OperationState
    media: MediaHandle | None = None
    failure: UpstreamFailure | None = None
    progress: float | None = None
    usage: UsageCount | None = None


class FailureClass(StrEnum):
    """What a failure means; the rows of docs/upstream/flow.md, section 12, shared by all providers."""

    CONTENT = "content"
    BAD_INPUT = "bad_input"
    AUTH = "auth"
    THROTTLED = "throttled"
    QUOTA_MODEL = "quota_model"
    QUOTA_ACCOUNT = "quota_account"
    CREDITS = "credits"
    TIER = "tier"
    VERIFICATION = "verification"
    FORBIDDEN = "forbidden"
    MODEL_GONE = "model_gone"
    MODEL_NOT_HERE = "model_not_here"
    """The account's location has not got the model; another location may have it."""
    MEDIA_GONE = "media_gone"
    PROJECT_GONE = "project_gone"
    UPSTREAM = "upstream"
    NETWORK = "network"
    PROXY = "proxy"
    """The proxy did not let the call through; nothing reached the upstream."""


class UpstreamFailure(Exception):
    """An upstream call failed; the only exception that a provider lets out (besides cancellation).

    ``may_have_been_accepted`` is True when a paid call may have been charged although no answer came: it must not be
    repeated by
    itself. ``reason`` is the upstream's own word (for people and logs). ``message`` is one plain sentence without
    secrets. ``advice`` is what the owner of the account has to do: for operators, never for clients. ``proxy_id`` is
    `Account.proxy_id` of the call, noted by whoever made it.
    """

    def __init__(
        self,
        failure_class: FailureClass,
        message: str,
        *,
        reason: str = "",
        http_status: int | None = None,
        retry_after: timedelta | None = None,
        may_have_been_accepted: bool = False,
        timed_out: bool = False,
        advice: str = "",
    ) -> None:
        super().__init__(message)
        self.failure_class = failure_class
        self.message = message
        self.reason = reason
        self.http_status = http_status
        self.retry_after = retry_after
        self.may_have_been_accepted = may_have_been_accepted
        self.timed_out = timed_out
        self.advice = advice
        self.proxy_id = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do; matched against what a request needs.

    ``has_locations``: an account is one project in one location. ``quotas_per_model``: limits are counted per model, so
    that reaching several of them says nothing about the account as a whole. ``quotas_per_project``: accounts of one
    project, in one location, share them. ``people_in_images``: it can be told which people pictures may show.
    """

    images: bool
    image_upscale: bool
    video_kinds: frozenset[VideoKind]
    has_credits: bool
    has_projects: bool
    refreshes: bool
    max_operations_per_check: int
    has_locations: bool = False
    quotas_per_model: bool = False
    quotas_per_project: bool = False
    people_in_images: bool = False


@dataclass(frozen=True, slots=True)
class MediaStream:
    """An open download. ``chunks`` can be read once; ``content_length`` is None where the upstream does not tell it."""

    chunks: AsyncIterator[bytes]
    content_type: str
    content_length: int | None


class Provider(Protocol):
    """One upstream family. Safe for concurrent use. Every method raises only UpstreamFailure (and cancellation)."""

    @property
    def name(self) -> str:
        """`flow`, `gemini` or `vertex`."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    async def refresh(self, secret: Secret, *, proxy_url: str = "") -> AccessGrant:
        """Buy a bearer with the long-lived secret (providers without refresh answer the secret itself, unproved).

        AUTH: the secret is dead, with a ``reason`` such as ``st_expired`` or ``key_revoked``, which becomes the reason
        of the token's state; NETWORK, UPSTREAM and THROTTLED prove nothing.
        """

    async def probe(self, account: Account) -> AccountState:
        """Prove the bearer with a call that costs nothing, and read tier and credits."""

    async def create_project(self, account: Account, title: str) -> Project:
        """Make an upstream project. Only where ``capabilities.has_projects``."""

    async def upload_image(self, account: Account, image: SourceImage) -> UploadedImage:
        """Make a picture usable in generations of this account (providers that take bytes inline only wrap it)."""

    async def generate_image(self, account: Account, call: ImageCall) -> ImageResult:
        """Make one picture; answers when it is done. Not repeated by itself."""

    async def upscale_image(self, account: Account, media: MediaHandle, resolution: str) -> ImageResult:
        """Enlarge a picture that this account made, to ``2K`` or ``4K``."""

    async def submit_video(self, account: Account, call: VideoCall) -> VideoSubmission:
        """Hand in one clip. Never repeated by itself: see ``UpstreamFailure.may_have_been_accepted``."""

    async def check_videos(
        self, account: Account, operations: Sequence[OperationHandle]
    ) -> Mapping[OperationHandle, OperationStatus]:
        """Look at many operations of this account once, in one upstream call where the upstream can. Every handle is
        in the answer."""

    def fetch_video(self, account: Account, media: MediaHandle) -> AbstractAsyncContextManager[MediaStream]:
        """Open the finished clip as a stream. MEDIA_GONE while it is not there yet: worth repeating for some
        minutes."""

    def fetch_url(self, account: Account, url: str) -> AbstractAsyncContextManager[MediaStream]:
        """Open a result URL that this provider answered (``ImageResult.url``) as a stream."""

    async def aclose(self) -> None:
        """Close pooled connections. The provider cannot be used after."""
