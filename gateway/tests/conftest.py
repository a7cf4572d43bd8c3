"""A gateway over real gRPC servers whose servicers are small fakes of the generated contract."""

# ruff: noqa: N802 - the servicers have the names of the RPCs.

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import httpx
import openai
import pytest
from google.protobuf.duration_pb2 import Duration
from PIL import Image
from pydantic import SecretStr

from flow2api_common.errors import (
    CapacityError,
    Conflict,
    DependencyUnavailable,
    FailedPrecondition,
    Flow2APIError,
    InvalidArgument,
    NotFound,
    Unauthenticated,
)
from flow2api_common.grpc_server import GrpcServer
from flow2api_common.media_store import MediaStore
from flow2api_gateway.app import build_app
from flow2api_gateway.composition import build_gateway, running_gateway
from flow2api_gateway.gateway import Gateway
from flow2api_gateway.settings import GatewaySettings
from flow2api_proto.access.v1 import access_service_pb2, access_service_pb2_grpc, request_quota_pb2
from flow2api_proto.generation.v1 import (
    generation_service_pb2,
    generation_service_pb2_grpc,
    image_pb2,
    ledger_pb2,
    media_pb2,
    model_pb2,
    video_pb2,
    webhook_service_pb2,
    webhook_service_pb2_grpc,
)
from flow2api_proto.tokens.v1 import (
    project_service_pb2,
    project_service_pb2_grpc,
    proxy_service_pb2,
    proxy_service_pb2_grpc,
    token_pb2,
    token_service_pb2,
    token_service_pb2_grpc,
)
from flow2api_testing.waiting import eventually

API_KEY = "sk-good-key-0123456789"
SESSION = "session-good"
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40


def picture(width: int = 64, height: int = 36, color: str = "red", kind: str = "PNG") -> bytes:
    """A real picture."""
    output = io.BytesIO()
    Image.new("RGB", (width, height), color).save(output, kind)
    return output.getvalue()


MODELS = [
    model_pb2.Model(
        model_id="gemini-3.1-flash-image",
        display_name="Flash",
        modality=model_pb2.MODALITY_IMAGE,
        aspect_ratios=["16:9", "9:16", "1:1"],
        resolutions=["1K", "2K"],
        max_input_images=3,
    ),
    model_pb2.Model(
        model_id="text-only/image", modality=model_pb2.MODALITY_IMAGE, aspect_ratios=["16:9"], resolutions=["1K"]
    ),
    model_pb2.Model(
        model_id="veo-3.1-fast",
        modality=model_pb2.MODALITY_VIDEO,
        aspect_ratios=["16:9", "9:16"],
        resolutions=["720p", "1080p"],
        durations_seconds=[8, 4],
        max_input_images=2,
        shutdown_date="2027-01-01",
    ),
]


class FakeAccess(access_service_pb2_grpc.AccessServiceServicer):
    """One key, one administrator."""

    def __init__(self) -> None:
        self.key_checks = 0
        self.logins: list[access_service_pb2.LoginRequest] = []
        self.created: list[access_service_pb2.CreateApiKeyRequest] = []
        self.key_gate: asyncio.Event | None = None
        self.cache_duration = timedelta(seconds=30)
        self.unwatched_cache_duration = timedelta(seconds=30)
        self.revoked = False
        self.revocations: list[access_service_pb2.RevokeSessionsRequest] = []
        self.watches: list[asyncio.Queue[tuple[str, ...] | None]] = []
        self.is_deaf = False
        self.login_error: Flow2APIError | None = None
        self.allowed_models: list[str] = []
        self.updates: list[access_service_pb2.UpdateApiKeyRequest] = []

    async def AuthenticateApiKey(self, request: Any, context: Any) -> Any:
        self.key_checks += 1
        if self.key_gate is not None:
            await self.key_gate.wait()
        if request.secret != API_KEY or self.revoked:
            raise Unauthenticated("Incorrect API key provided.", reason="API_KEY_INVALID")
        answer = access_service_pb2.AuthenticateApiKeyResponse(
            api_key=access_service_pb2.ApiKey(api_key_id="key_1", name="first", allowed_models=self.allowed_models)
        )
        answer.cache_duration.FromTimedelta(self.cache_duration)
        answer.unwatched_cache_duration.FromTimedelta(self.unwatched_cache_duration)
        return answer

    async def WatchAccessChanges(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if self.is_deaf:
            raise DependencyUnavailable("deaf")
        changes: asyncio.Queue[tuple[str, ...] | None] = asyncio.Queue()
        self.watches.append(changes)
        changed: tuple[str, ...] | None = ()
        while changed is not None:
            yield access_service_pb2.WatchAccessChangesResponse(api_key_ids=changed)
            changed = await changes.get()

    def tell(self, changed: tuple[str, ...] | None) -> None:
        """Tell the gateway that keys were changed; None ends the stream."""
        self.watches[-1].put_nowait(changed)

    async def CreateApiKey(self, request: Any, context: Any) -> Any:
        self.created.append(request)
        key = access_service_pb2.ApiKey(api_key_id="key_2", name=request.name, prefix="sk-new")
        return access_service_pb2.CreateApiKeyResponse(api_key=key, secret="sk-new-secret")

    async def GetApiKey(self, request: Any, context: Any) -> Any:
        if request.api_key_id != "key_1":
            raise NotFound("There is no such key.", reason="API_KEY_NOT_FOUND")
        return access_service_pb2.GetApiKeyResponse(api_key=access_service_pb2.ApiKey(api_key_id="key_1", weight=3))

    async def UpdateApiKey(self, request: Any, context: Any) -> Any:
        self.updates.append(request)
        if "expire_time" in request.update_mask.paths and request.api_key.expire_time.seconds == 1:
            raise InvalidArgument.of("expire_time", "This time has passed.")
        return access_service_pb2.UpdateApiKeyResponse(api_key=request.api_key)

    async def ListApiKeys(self, request: Any, context: Any) -> Any:
        keys = [access_service_pb2.ApiKey(api_key_id=f"key_{index}", name="n") for index in (1, 2)]
        if request.page_token:
            return access_service_pb2.ListApiKeysResponse(api_keys=keys[1:])
        return access_service_pb2.ListApiKeysResponse(api_keys=keys[:1], next_page_token="more")

    async def RevokeApiKey(self, request: Any, context: Any) -> Any:
        if request.api_key_id != "key_1":
            raise NotFound("There is no such key.", reason="API_KEY_NOT_FOUND")
        key = access_service_pb2.ApiKey(api_key_id="key_1", name="first")
        key.revoke_time.GetCurrentTime()
        return access_service_pb2.RevokeApiKeyResponse(api_key=key)

    async def Login(self, request: Any, context: Any) -> Any:
        self.logins.append(request)
        if self.login_error:
            raise self.login_error
        if (request.username, request.password) != ("admin", "right-password"):
            raise Unauthenticated("Wrong name or password.", reason="LOGIN_INVALID")
        admin = access_service_pb2.Admin(admin_id="1", username="admin")
        return access_service_pb2.LoginResponse(session_token=SESSION, admin=admin)

    async def AuthenticateSession(self, request: Any, context: Any) -> Any:
        if request.session_token != SESSION:
            raise Unauthenticated("Log in first.", reason="SESSION_INVALID")
        admin = access_service_pb2.Admin(admin_id="1", username="admin")
        return access_service_pb2.AuthenticateSessionResponse(admin=admin, session_id="session_1")

    async def Logout(self, request: Any, context: Any) -> Any:
        return access_service_pb2.LogoutResponse()

    async def ChangePassword(self, request: Any, context: Any) -> Any:
        if request.old_password != "right-password":
            raise Unauthenticated("The old password is wrong.", reason="LOGIN_INVALID")
        return access_service_pb2.ChangePasswordResponse()

    async def ListAdmins(self, request: Any, context: Any) -> Any:
        admins = [access_service_pb2.Admin(admin_id=str(number), username=f"a{number}") for number in (1, 2)]
        if request.page_token:
            return access_service_pb2.ListAdminsResponse(admins=admins[1:])
        return access_service_pb2.ListAdminsResponse(admins=admins[:1], next_page_token="more")

    async def CreateAdmin(self, request: Any, context: Any) -> Any:
        if request.username == "taken":
            raise Conflict("This name is taken.", reason="ADMIN_EXISTS")
        if len(request.password) < 8:
            raise InvalidArgument.of("password", "A password has 8 to 1024 characters.")
        admin = access_service_pb2.Admin(admin_id="3", username=request.username)
        return access_service_pb2.CreateAdminResponse(admin=admin)

    async def DeleteAdmin(self, request: Any, context: Any) -> Any:
        if request.admin_id == "1":
            raise FailedPrecondition("The last administrator cannot be removed.", reason="LAST_ADMIN")
        return access_service_pb2.DeleteAdminResponse()

    async def ResetAdminPassword(self, request: Any, context: Any) -> Any:
        if request.admin_id == "9":
            raise NotFound("There is no such administrator.", reason="ADMIN_NOT_FOUND")
        return access_service_pb2.ResetAdminPasswordResponse()

    async def ListSessions(self, request: Any, context: Any) -> Any:
        admin = access_service_pb2.Admin(admin_id="1", username="admin")
        sessions = [
            access_service_pb2.Session(session_id=f"session_{number}", admin=admin, client_address="10.0.0.1")
            for number in (1, 2)
        ]
        return access_service_pb2.ListSessionsResponse(sessions=sessions)

    async def RevokeSession(self, request: Any, context: Any) -> Any:
        if request.session_id != "session_1":
            raise NotFound("There is no such session.", reason="SESSION_NOT_FOUND")
        return access_service_pb2.RevokeSessionResponse()

    async def RevokeSessions(self, request: Any, context: Any) -> Any:
        self.revocations.append(request)
        return access_service_pb2.RevokeSessionsResponse(session_count=5)


class FakeTokens(token_service_pb2_grpc.TokenServiceServicer):
    """A pool in a dict."""

    def __init__(self) -> None:
        self.tokens: dict[int, token_pb2.Token] = {}
        self.secrets: dict[int, str] = {}
        self.updates: list[token_service_pb2.UpdateTokenRequest] = []

    def _get(self, token_id: int) -> token_pb2.Token:
        if token_id not in self.tokens:
            raise NotFound("There is no such token.", reason="TOKEN_NOT_FOUND")
        return self.tokens[token_id]

    async def CreateToken(self, request: Any, context: Any) -> Any:
        if request.secret in self.secrets.values():
            raise Conflict("The secret is in the pool.", reason="TOKEN_EXISTS")
        if request.secret == "dead":
            raise InvalidArgument.of("secret", "The upstream refuses the secret.")
        token_id = len(self.tokens) + 1
        self.secrets[token_id] = request.secret
        self.tokens[token_id] = token_pb2.Token(
            token_id=token_id,
            provider=request.provider,
            masked_secret=f"…{request.secret[-4:]}",
            email="a@b.example",
            remark=request.remark,
            state=token_pb2.TOKEN_STATE_ACTIVE,
            tier=token_pb2.TIER_ONE,
            credits=990,
            image_enabled=request.image_enabled if request.HasField("image_enabled") else True,
            video_enabled=True,
            image_concurrency=request.image_concurrency if request.HasField("image_concurrency") else -1,
            video_concurrency=-1,
        )
        return token_service_pb2.CreateTokenResponse(token=self.tokens[token_id])

    async def GetToken(self, request: Any, context: Any) -> Any:
        return token_service_pb2.GetTokenResponse(token=self._get(request.token_id))

    async def ListTokens(self, request: Any, context: Any) -> Any:
        return token_service_pb2.ListTokensResponse(tokens=self.tokens.values(), total_size=len(self.tokens))

    async def UpdateToken(self, request: Any, context: Any) -> Any:
        self.updates.append(request)
        token = self._get(request.token.token_id)
        request.update_mask.paths[:] = [
            path for path in request.update_mask.paths if path not in ("secret", "proxy_url")
        ]
        request.update_mask.MergeMessage(request.token, token)
        return token_service_pb2.UpdateTokenResponse(token=token)

    async def DeleteToken(self, request: Any, context: Any) -> Any:
        self._get(request.token_id)
        del self.tokens[request.token_id]
        return token_service_pb2.DeleteTokenResponse()

    async def EnableToken(self, request: Any, context: Any) -> Any:
        self._get(request.token_id).state = token_pb2.TOKEN_STATE_ACTIVE
        return token_service_pb2.EnableTokenResponse(token=self._get(request.token_id))

    async def DisableToken(self, request: Any, context: Any) -> Any:
        token = self._get(request.token_id)
        token.state, token.state_reason = token_pb2.TOKEN_STATE_DISABLED, request.reason or "admin"
        return token_service_pb2.DisableTokenResponse(token=token)

    async def RefreshToken(self, request: Any, context: Any) -> Any:
        return token_service_pb2.RefreshTokenResponse(token=self._get(request.token_id))

    async def GetPoolStats(self, request: Any, context: Any) -> Any:
        return token_service_pb2.GetPoolStatsResponse(
            token_count=len(self.tokens), token_count_by_state={"active": len(self.tokens)}, credits=7
        )

    async def AcquireLease(self, request: Any, context: Any) -> Any:
        raise NotImplementedError

    RenewLeases = ReleaseLease = GetCredential = AcquireLease


class FakeProjects(project_service_pb2_grpc.ProjectServiceServicer):
    """Projects of one token."""

    def __init__(self) -> None:
        self.projects: dict[str, project_service_pb2.Project] = {}

    def _get(self, project_id: str) -> project_service_pb2.Project:
        if project_id not in self.projects:
            raise NotFound("There is no such project.", reason="PROJECT_NOT_FOUND")
        return self.projects[project_id]

    async def ListProjects(self, request: Any, context: Any) -> Any:
        return project_service_pb2.ListProjectsResponse(projects=self.projects.values())

    async def CreateProject(self, request: Any, context: Any) -> Any:
        project = project_service_pb2.Project(
            token_id=request.token_id,
            project_id=request.project_id or f"made-{len(self.projects)}",
            title=request.title,
            active=True,
        )
        self.projects[project.project_id] = project
        return project_service_pb2.CreateProjectResponse(project=project)

    async def DeleteProject(self, request: Any, context: Any) -> Any:
        del self.projects[self._get(request.project_id).project_id]
        return project_service_pb2.DeleteProjectResponse()

    async def ActivateProject(self, request: Any, context: Any) -> Any:
        project = self._get(request.project_id)
        project.active = project.current = True
        return project_service_pb2.ActivateProjectResponse(project=project)

    async def DeactivateProject(self, request: Any, context: Any) -> Any:
        project = self._get(request.project_id)
        project.active = project.current = False
        return project_service_pb2.DeactivateProjectResponse(project=project)


class FakeProxies(proxy_service_pb2_grpc.ProxyServiceServicer):
    """Proxies in a dict, whose addresses are not looked at."""

    def __init__(self) -> None:
        self.proxies: dict[int, proxy_service_pb2.Proxy] = {}
        self.urls: dict[int, str] = {}
        self.passes = True

    def _get(self, proxy_id: int) -> proxy_service_pb2.Proxy:
        if proxy_id not in self.proxies:
            raise NotFound("There is no such proxy.", reason="PROXY_NOT_FOUND")
        return self.proxies[proxy_id]

    def _add(self, url: str, name: str = "", remark: str = "") -> proxy_service_pb2.Proxy:
        if not url.startswith("socks5://"):
            raise InvalidArgument.of("url", "The scheme is wrong.")
        if url in self.urls.values():
            raise Conflict("Known.", reason="PROXY_EXISTS")
        proxy_id = len(self.urls) + 1
        self.urls[proxy_id] = url
        self.proxies[proxy_id] = proxy_service_pb2.Proxy(
            proxy_id=proxy_id,
            scheme="socks5",
            host="::1",
            port=1080,
            has_credentials=True,
            name=name,
            remark=remark,
            enabled=True,
            state=proxy_service_pb2.PROXY_STATE_ACTIVE,
            latency=Duration(nanos=25_000_000),
            token_count=3,
        )
        return self.proxies[proxy_id]

    async def CreateProxy(self, request: Any, context: Any) -> Any:
        return proxy_service_pb2.CreateProxyResponse(proxy=self._add(request.url, request.name, request.remark))

    async def ImportProxies(self, request: Any, context: Any) -> Any:
        results = []
        for url in request.urls:
            try:
                added = self._add(url).proxy_id
                status = token_service_pb2.IMPORT_STATUS_ADDED
                results.append(proxy_service_pb2.ImportProxyResult(status=status, proxy_id=added))
            except InvalidArgument as error:
                status = token_service_pb2.IMPORT_STATUS_FAILED
                result = proxy_service_pb2.ImportProxyResult(status=status, reason=error.reason, message="wrong")
                results.append(result)
        return proxy_service_pb2.ImportProxiesResponse(results=results)

    async def GetProxy(self, request: Any, context: Any) -> Any:
        return proxy_service_pb2.GetProxyResponse(proxy=self._get(request.proxy_id))

    async def ListProxies(self, request: Any, context: Any) -> Any:
        return proxy_service_pb2.ListProxiesResponse(proxies=self.proxies.values())

    async def UpdateProxy(self, request: Any, context: Any) -> Any:
        proxy = self._get(request.proxy.proxy_id)
        for path in request.update_mask.paths:
            if path == "url":
                self.urls[proxy.proxy_id] = request.url
            else:
                setattr(proxy, path, getattr(request.proxy, path))
        return proxy_service_pb2.UpdateProxyResponse(proxy=proxy)

    async def DeleteProxy(self, request: Any, context: Any) -> Any:
        del self.proxies[self._get(request.proxy_id).proxy_id]
        return proxy_service_pb2.DeleteProxyResponse()

    async def EnableProxy(self, request: Any, context: Any) -> Any:
        self._get(request.proxy_id).enabled = True
        return proxy_service_pb2.EnableProxyResponse(proxy=self._get(request.proxy_id))

    async def DisableProxy(self, request: Any, context: Any) -> Any:
        self._get(request.proxy_id).enabled = False
        return proxy_service_pb2.DisableProxyResponse(proxy=self._get(request.proxy_id))

    async def CheckProxy(self, request: Any, context: Any) -> Any:
        return proxy_service_pb2.CheckProxyResponse(proxy=self._get(request.proxy_id), passed=self.passes)


@dataclass
class FakeGeneration(generation_service_pb2_grpc.GenerationServiceServicer):
    """Makes red pictures and lets tests say what videos do."""

    store: MediaStore
    image_requests: list[image_pb2.GenerateImageRequest] = field(default_factory=list)
    video_requests: list[video_pb2.CreateVideoRequest] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    media: dict[str, media_pb2.Media] = field(default_factory=dict)
    videos: dict[str, video_pb2.Video] = field(default_factory=dict)
    early_error: Flow2APIError | None = None
    queue_error: Flow2APIError | None = None
    late_error: Flow2APIError | None = None
    failed_images: dict[int, image_pb2.ImageFailure] = field(default_factory=dict)
    request_quota: request_quota_pb2.RequestQuota | None = None
    replays: bool = False
    ledger_requests: list[Any] = field(default_factory=list)
    image_gate: asyncio.Event | None = None
    image_cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    video_changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    dies_while_generating: bool = False
    video_ids_by_request: dict[str, str] = field(default_factory=dict)
    watch_requests: list[video_pb2.WatchVideoRequest] = field(default_factory=list)
    listings: list[video_pb2.ListVideosRequest] = field(default_factory=list)
    watches: int = 0
    watch_breaks: int = 0
    watch_error: Flow2APIError | None = None

    async def add_media(self, media_id: str, content: bytes, content_type: str, **facts: int) -> media_pb2.Media:
        """Store a file."""
        key = f"media/{media_id}"
        await self.store.put(key, content, content_type=content_type)
        media = media_pb2.Media(
            media_id=media_id, object_key=key, content_type=content_type, size_bytes=len(content), **facts
        )
        self.media[media_id] = media
        return media

    async def change_video(self, video_id: str, **fields: Any) -> None:
        """Move a job on, as the poller would."""
        async with self.video_changed:
            video = self.videos[video_id]
            video.MergeFrom(video_pb2.Video(**fields))
            video.version += 1
            self.video_changed.notify_all()

    async def complete_video(self, video_id: str) -> None:
        """Give the job its clip."""
        media = await self.add_media(f"clip{video_id.removeprefix('video_')}", MP4, "video/mp4")
        await self.change_video(video_id, state=video_pb2.VIDEO_STATE_COMPLETED, progress_percent=100, media=media)

    async def ListModels(self, request: Any, context: Any) -> Any:
        return generation_service_pb2.ListModelsResponse(models=MODELS)

    async def GetModel(self, request: Any, context: Any) -> Any:
        for model in MODELS:
            if model.model_id == request.model_id:
                return generation_service_pb2.GetModelResponse(model=model)
        raise NotFound(f"The model '{request.model_id}' does not exist.", reason="MODEL_NOT_FOUND")

    async def GenerateImage(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.image_requests.append(request)
        if self.early_error:
            raise self.early_error
        try:
            for index in range(request.image_count):
                quota = self.request_quota if index == 0 else None
                progress = image_pb2.ImageProgress(stage=1, attempt=1)
                yield self._event(index, progress=progress, request_quota=quota, replayed=self.replays and index == 0)
            if self.image_gate is not None:
                await self.image_gate.wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.image_cancelled.set()
            raise
        if self.queue_error:
            raise self.queue_error
        for index in range(request.image_count):
            if index in self.failed_images:
                yield self._event(index, failure=self.failed_images[index])
                continue
            progress = image_pb2.ImageProgress(stage=4, progress_percent=40, attempt=1)
            yield self._event(index, progress=progress)
            if self.late_error:
                raise self.late_error
            if self.dies_while_generating:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "killed")
            media = await self.add_media(f"pic{len(self.media)}", picture(), "image/png", width=64, height=36)
            usage = image_pb2.Usage(input_tokens=12, input_text_tokens=12, output_tokens=1120)
            yield self._event(index, image=image_pb2.GeneratedImage(media=media, usage=usage))

    def _event(self, index: int, **event: Any) -> image_pb2.GenerateImageResponse:
        return image_pb2.GenerateImageResponse(generation_id="gen1", image_index=index, **event)

    async def CreateVideo(self, request: Any, context: Any) -> Any:
        self.video_requests.append(request)
        if self.early_error:
            raise self.early_error
        if request.request_id in self.video_ids_by_request:
            video = self.videos[self.video_ids_by_request[request.request_id]]
            return video_pb2.CreateVideoResponse(video=video, replayed=True)
        if request.duration_seconds not in (0, 4, 8):
            raise InvalidArgument.of("duration_seconds", "The model makes clips of 8 or 4 seconds.")
        video_id = f"video_{len(self.videos) + 1}"
        self.videos[video_id] = video_pb2.Video(
            video_id=video_id,
            model_id=request.model_id,
            prompt=request.prompt,
            state=video_pb2.VIDEO_STATE_QUEUED,
            duration_seconds=request.duration_seconds or 8,
            size=media_pb2.Dimensions(width=1280, height=720),
            version=1,
            api_key_id=request.api_key_id,
            source_video_id=request.source_video_id,
            metadata=request.metadata,
        )
        self.videos[video_id].create_time.FromSeconds(1_767_225_600)
        if request.request_id:
            self.video_ids_by_request[request.request_id] = video_id
        return video_pb2.CreateVideoResponse(
            video=self.videos[video_id], request_quota=self.request_quota, replayed=self.replays
        )

    def _video(self, request: Any) -> video_pb2.Video:
        video = self.videos.get(request.video_id)
        if video is None or request.api_key_id not in ("", video.api_key_id):
            raise NotFound("There is no such video.", reason="VIDEO_NOT_FOUND")
        return video

    async def GetVideo(self, request: Any, context: Any) -> Any:
        return video_pb2.GetVideoResponse(video=self._video(request))

    async def ListVideos(self, request: Any, context: Any) -> Any:
        self.listings.append(request)
        videos = list(self.videos.values())
        if request.order != video_pb2.VIDEO_ORDER_OLDEST_FIRST:
            videos.reverse()
        if request.after_video_id:
            ids = [video.video_id for video in videos]
            if request.after_video_id not in ids:
                raise InvalidArgument.of("after_video_id", "There is no such video.")
            videos = videos[ids.index(request.after_video_id) + 1 :]
        size = request.page_size or 20
        return video_pb2.ListVideosResponse(videos=videos[:size], next_page_token="more" if len(videos) > size else "")

    async def WatchVideo(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.watches += 1
        self.watch_requests.append(request)
        if self.watch_error:
            raise self.watch_error
        seen = request.after_version
        video = self._video(request)
        while True:
            if video.version > seen:
                seen = video.version
                yield video_pb2.WatchVideoResponse(video=video)
                if video.state >= video_pb2.VIDEO_STATE_COMPLETED:
                    return
                if self.watch_breaks:
                    self.watch_breaks -= 1
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            async with self.video_changed:
                while video.version <= seen:
                    await self.video_changed.wait()

    async def CancelVideo(self, request: Any, context: Any) -> Any:
        video = self._video(request)
        if video.state >= video_pb2.VIDEO_STATE_COMPLETED:
            raise FailedPrecondition("The video has ended.", reason="VIDEO_ALREADY_FINAL")
        was_running = video.state == video_pb2.VIDEO_STATE_IN_PROGRESS
        video.state = video_pb2.VIDEO_STATE_CANCELLED
        return video_pb2.CancelVideoResponse(
            video=video,
            charge=video_pb2.VIDEO_CHARGE_CHARGED if was_running else video_pb2.VIDEO_CHARGE_NONE,
            charged_credits=20 if was_running else None,
        )

    async def DeleteVideo(self, request: Any, context: Any) -> Any:
        del self.videos[self._video(request).video_id]
        return video_pb2.DeleteVideoResponse()

    async def UploadMedia(self, request_iterator: Any, context: Any) -> Any:
        content, file_name = b"", ""
        async for message in request_iterator:
            assert len(message.chunk) <= 1 << 20
            content += message.chunk
            file_name = file_name or message.description.file_name
        media_id = f"up{len(self.uploads)}"
        self.uploads[media_id] = content
        media = await self.add_media(media_id, content, "image/png")
        media.file_name = file_name
        return generation_service_pb2.UploadMediaResponse(media=media)

    async def GetMedia(self, request: Any, context: Any) -> Any:
        if request.media_id not in self.media:
            raise NotFound("There is no such file.", reason="MEDIA_NOT_FOUND")
        return generation_service_pb2.GetMediaResponse(media=self.media[request.media_id])

    async def ListMedia(self, request: Any, context: Any) -> Any:
        before = request.page_token or "~"
        newest = [media for media in reversed(self.media.values()) if media.media_id < before]
        more = newest[request.page_size - 1].media_id if len(newest) > request.page_size else ""
        return generation_service_pb2.ListMediaResponse(media=newest[: request.page_size], next_page_token=more)

    async def DeleteMedia(self, request: Any, context: Any) -> Any:
        if self.media.pop(request.media_id, None) is None:
            raise NotFound("There is no such file.", reason="MEDIA_NOT_FOUND")
        return generation_service_pb2.DeleteMediaResponse()

    async def GetGenerationStats(self, request: Any, context: Any) -> Any:
        return generation_service_pb2.GetGenerationStatsResponse(
            video_count_by_state={"queued": len(self.videos)}, image_count=3
        )

    async def ListRequestLogs(self, request: Any, context: Any) -> Any:
        entry = generation_service_pb2.RequestLog(
            generation_id="gen1", operation="image", model_id="m", outcome="ok", duration_ms=1500
        )
        return generation_service_pb2.ListRequestLogsResponse(request_logs=[entry], next_page_token="older")

    async def GetUsage(self, request: Any, context: Any) -> Any:
        self.ledger_requests.append(request)
        if request.filter.first_day == "never":
            raise InvalidArgument.of("first_day", "A day is written YYYY-MM-DD.")
        row = ledger_pb2.UsageRow(
            day="2026-11-23",
            api_key_id="key_1",
            entry_count=2,
            reserved_credits=40,
            settled_credits=20,
            open_credits=20,
        )
        return ledger_pb2.GetUsageResponse(rows=[row])

    async def ListLedgerEntries(self, request: Any, context: Any) -> Any:
        self.ledger_requests.append(request)
        return ledger_pb2.ListLedgerEntriesResponse(entries=[self._entry()], next_page_token="older")

    async def ResolveLedgerEntry(self, request: Any, context: Any) -> Any:
        self.ledger_requests.append(request)
        entry = self._entry()
        entry.state = request.state
        return ledger_pb2.ResolveLedgerEntryResponse(entry=entry)

    def _entry(self) -> Any:
        entry = ledger_pb2.LedgerEntry(
            generation_id="video_1",
            line="generate",
            operation="video",
            state=ledger_pb2.LEDGER_STATE_DISPUTED,
            reserved_credits=20,
            credits=20,
            token_id=3,
        )
        entry.create_time.FromSeconds(1_767_225_600)
        return entry


class FakeWebhooks(webhook_service_pb2_grpc.WebhookServiceServicer):
    """Receivers in a dict, and one delivery that has failed."""

    def __init__(self) -> None:
        self.endpoints: dict[str, webhook_service_pb2.WebhookEndpoint] = {}
        self.kept_old: list[timedelta] = []
        self.listings: list[webhook_service_pb2.ListWebhookDeliveriesRequest] = []
        self.delivery = webhook_service_pb2.WebhookDelivery(
            webhook_delivery_id="whd_1",
            event_id="evt_1",
            event_type="video.failed",
            video_id="video_1",
            api_key_id="key_1",
            url="https://hooks.example/x",
            state=webhook_service_pb2.WEBHOOK_DELIVERY_STATE_FAILED,
            attempt_count=13,
            last_status_code=500,
            last_error="status",
        )
        self.delivery.last_duration.FromTimedelta(timedelta(milliseconds=120))

    def _endpoint(self, request: Any) -> webhook_service_pb2.WebhookEndpoint:
        endpoint = self.endpoints.get(request.webhook_endpoint_id)
        if endpoint is None or request.api_key_id not in ("", endpoint.api_key_id):
            raise NotFound("There is no such endpoint.", reason="WEBHOOK_ENDPOINT_NOT_FOUND")
        return endpoint

    async def CreateWebhookEndpoint(self, request: Any, context: Any) -> Any:
        if not request.url.startswith("https://"):
            raise InvalidArgument.of("url", "Only https URLs are allowed.")
        endpoint = webhook_service_pb2.WebhookEndpoint(
            webhook_endpoint_id=f"we_{len(self.endpoints) + 1}",
            api_key_id=request.api_key_id,
            name=request.name,
            url=request.url,
            event_types=request.event_types,
            signing_secret_hint="…abcd",
            enabled=True,
        )
        endpoint.create_time.FromSeconds(1_767_225_600)
        endpoint.update_time.FromSeconds(1_767_225_600)
        self.endpoints[endpoint.webhook_endpoint_id] = endpoint
        return webhook_service_pb2.CreateWebhookEndpointResponse(
            webhook_endpoint=endpoint, signing_secret="whsec_first"
        )

    async def GetWebhookEndpoint(self, request: Any, context: Any) -> Any:
        return webhook_service_pb2.GetWebhookEndpointResponse(webhook_endpoint=self._endpoint(request))

    async def ListWebhookEndpoints(self, request: Any, context: Any) -> Any:
        before = request.page_token or "we_~"
        newest = [each for each in reversed(self.endpoints.values()) if each.webhook_endpoint_id < before]
        size = request.page_size or 20
        return webhook_service_pb2.ListWebhookEndpointsResponse(
            webhook_endpoints=newest[:size],
            next_page_token=newest[size - 1].webhook_endpoint_id if len(newest) > size else "",
        )

    async def UpdateWebhookEndpoint(self, request: Any, context: Any) -> Any:
        endpoint = self.endpoints[request.webhook_endpoint.webhook_endpoint_id]
        if "event_types" in request.update_mask.paths:
            del endpoint.event_types[:]
        request.update_mask.MergeMessage(request.webhook_endpoint, endpoint)
        return webhook_service_pb2.UpdateWebhookEndpointResponse(webhook_endpoint=endpoint)

    async def DeleteWebhookEndpoint(self, request: Any, context: Any) -> Any:
        del self.endpoints[self._endpoint(request).webhook_endpoint_id]
        return webhook_service_pb2.DeleteWebhookEndpointResponse()

    async def RotateWebhookSecret(self, request: Any, context: Any) -> Any:
        self.kept_old.append(request.keep_old_duration.ToTimedelta())
        return webhook_service_pb2.RotateWebhookSecretResponse(
            webhook_endpoint=self._endpoint(request), signing_secret="whsec_second"
        )

    async def TestWebhookEndpoint(self, request: Any, context: Any) -> Any:
        self._endpoint(request)
        if request.event_type == "video.failed":
            raise FailedPrecondition("No answer.", reason="WEBHOOK_NOT_REACHED")
        return webhook_service_pb2.TestWebhookEndpointResponse(status_code=202)

    async def ListWebhookDeliveries(self, request: Any, context: Any) -> Any:
        self.listings.append(request)
        return webhook_service_pb2.ListWebhookDeliveriesResponse(
            webhook_deliveries=[self.delivery], next_page_token="older"
        )

    async def GetWebhookDelivery(self, request: Any, context: Any) -> Any:
        if request.webhook_delivery_id != "whd_1":
            raise NotFound("There is no such delivery.", reason="WEBHOOK_DELIVERY_NOT_FOUND")
        attempt = webhook_service_pb2.WebhookAttempt(number=1, error="timeout")
        attempt.duration.FromTimedelta(timedelta(seconds=10))
        return webhook_service_pb2.GetWebhookDeliveryResponse(
            webhook_delivery=self.delivery, attempts=[attempt], payload="{}"
        )

    async def ReplayWebhookDelivery(self, request: Any, context: Any) -> Any:
        self.delivery.state = webhook_service_pb2.WEBHOOK_DELIVERY_STATE_PENDING
        return webhook_service_pb2.ReplayWebhookDeliveryResponse(webhook_delivery=self.delivery)


@dataclass
class World:
    """The gateway's peers, its settings and clients of it."""

    access: FakeAccess
    tokens: FakeTokens
    generation: FakeGeneration
    webhooks: FakeWebhooks
    settings: GatewaySettings
    servers: dict[str, GrpcServer]
    proxies: FakeProxies

    def with_settings(self, **changes: Any) -> GatewaySettings:
        """Other settings for the same peers."""
        return self.settings.model_copy(update=changes)


async def _nothing_is_away() -> None:
    return


@pytest.fixture
async def world(service_token: SecretStr, secret_key: SecretStr, media_url: str) -> AsyncIterator[World]:
    """Two gRPC servers and the settings of a gateway in front of them."""
    store = MediaStore.open(media_url)
    access, tokens, generation = FakeAccess(), FakeTokens(), FakeGeneration(store=store)
    proxies = FakeProxies()
    token_server = _server(service_token)
    token_server.register(lambda server: access_service_pb2_grpc.add_AccessServiceServicer_to_server(access, server))
    token_server.register(lambda server: token_service_pb2_grpc.add_TokenServiceServicer_to_server(tokens, server))
    projects = FakeProjects()
    token_server.register(
        lambda server: project_service_pb2_grpc.add_ProjectServiceServicer_to_server(projects, server)
    )
    token_server.register(lambda server: proxy_service_pb2_grpc.add_ProxyServiceServicer_to_server(proxies, server))
    generation_server = _server(service_token)
    generation_server.register(
        lambda server: generation_service_pb2_grpc.add_GenerationServiceServicer_to_server(generation, server)
    )
    webhooks = FakeWebhooks()
    generation_server.register(
        lambda server: webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(webhooks, server)
    )
    servers = {"token": token_server, "generation": generation_server}
    settings = GatewaySettings(
        service_token=service_token,
        secret_key=secret_key,
        media_url=media_url,
        token_addr=await token_server.start(),
        generation_addr=await generation_server.start(),
        port=0,
        heartbeat_interval=timedelta(milliseconds=50),
        drain_timeout=timedelta(milliseconds=200),
    )
    yield World(access, tokens, generation, webhooks, settings, servers, proxies)
    for server in servers.values():
        await server.stop(timedelta(0))


def _server(service_token: SecretStr) -> GrpcServer:
    return GrpcServer(address="127.0.0.1:0", service_token=service_token, service_names=(), readiness=_nothing_is_away)


@pytest.fixture
def open_client(world: World) -> Callable[..., Any]:
    """``async with open_client(max_body_bytes=10) as client``: an HTTP client straight into the application."""

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with AsyncExitStack() as stack:
            gateway: Gateway = await build_gateway(stack, world.with_settings(**changes), base_url="http://gw.example")
            if not world.access.is_deaf:
                await eventually(lambda: gateway.api_keys.hears_changes)
            transport = httpx.ASGITransport(build_app(gateway))
            client = httpx.AsyncClient(
                transport=transport,
                base_url="http://gw.example",
                headers={"authorization": f"Bearer {API_KEY}"},
                timeout=20,
            )
            yield await stack.enter_async_context(client)

    return opened


@pytest.fixture
async def client(open_client: Callable[..., Any]) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a good API key, without a socket."""
    async with open_client() as opened:
        yield opened


@pytest.fixture
async def admin(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same client with an administrator's session."""
    client.headers["authorization"] = f"Bearer {SESSION}"
    return client


@pytest.fixture
async def address(world: World) -> AsyncIterator[str]:
    """A gateway on a real socket."""
    async with running_gateway(world.settings) as service:
        yield service.address


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client of that gateway."""
    async with openai.AsyncOpenAI(api_key=API_KEY, base_url=f"{address}/v1", max_retries=0) as opened:
        yield opened


@pytest.fixture
def make_picture() -> Callable[..., bytes]:
    """Real pictures."""
    return picture


@pytest.fixture
def busy() -> CapacityError:
    """Nothing is free for six seconds."""
    return CapacityError("All accounts are busy.", retry_after=timedelta(seconds=6))
