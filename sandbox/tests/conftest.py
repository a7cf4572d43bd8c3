"""Sandboxes and a small Flow client for the tests of this package."""

import asyncio
import base64
import io
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from PIL import Image

from flow2api_sandbox.clock import Clock
from flow2api_sandbox.server import RunningSandbox, running_sandbox
from flow2api_sandbox.settings import SandboxSettings
from flow2api_testing.google_cloud import CloudClient

ULTRA = "PAYGATE_TIER_TWO"
LANDSCAPE = "VIDEO_ASPECT_RATIO_LANDSCAPE"


@dataclass
class FlowClient:
    """The calls of Flow as a correct client makes them; every body can be changed before it is sent."""

    sandbox: RunningSandbox
    http: httpx.AsyncClient
    session_token: str = "sandbox-st-1"
    tier: str = "PAYGATE_TIER_ONE"
    project_id: str = ""
    bearer: dict[str, str] = field(default_factory=dict)

    @property
    def cookie(self) -> dict[str, str]:
        return {"cookie": f"__Secure-next-auth.session-token={self.session_token}"}

    @property
    def context(self) -> dict[str, Any]:
        return {"sessionId": ";1767225600123", "projectId": self.project_id, "tool": "PINHOLE"}

    @property
    def tiered_context(self) -> dict[str, Any]:
        return {**self.context, "userPaygateTier": self.tier}

    async def open(self) -> "FlowClient":
        await self.refresh()
        answer = await self.labs(
            "POST", "/trpc/project.createProject", {"json": {"projectTitle": "t", "toolName": "PINHOLE"}}
        )
        self.project_id = answer.json()["result"]["data"]["json"]["result"]["projectId"]
        return self

    async def refresh(self) -> httpx.Response:
        answer = await self.labs("GET", "/auth/session")
        self.bearer = {"authorization": f"Bearer {answer.json().get('access_token', '')}"}
        return answer

    async def labs(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.http.request(
            method, self.sandbox.flow_labs_url + path, json=body, headers=self.cookie, **options
        )

    async def api(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        method = "GET" if body is None else "POST"
        return await self.http.request(
            method, self.sandbox.flow_api_url + path, json=body, headers=self.bearer, **options
        )

    def image_body(
        self, prompt: str = "a lighthouse", *, seeds: tuple[int, ...] = (7,), **changes: Any
    ) -> dict[str, Any]:
        request = {
            "clientContext": self.context,
            "imageModelName": "NARWHAL",
            "imageAspectRatio": "IMAGE_ASPECT_RATIO_LANDSCAPE",
            "structuredPrompt": {"parts": [{"text": prompt}]},
            "imageInputs": [],
            **changes,
        }
        return {
            "clientContext": self.context,
            "mediaGenerationContext": {"batchId": str(uuid.uuid4())},
            "useNewMedia": True,
            "requests": [{**request, "seed": seed} for seed in seeds],
        }

    async def images(self, body: dict[str, Any] | str) -> httpx.Response:
        body = self.image_body(body) if isinstance(body, str) else body
        return await self.api(f"/projects/{self.project_id}/flowMedia:batchGenerateImages", body)

    def video_body(self, prompt: str = "waves", *, key: str = "veo_3_1_t2v_fast", **changes: Any) -> dict[str, Any]:
        request = {
            "aspectRatio": LANDSCAPE,
            "seed": 31415,
            "videoModelKey": key,
            "textInput": {"structuredPrompt": {"parts": [{"text": prompt}]}},
            "metadata": {},
            **changes,
        }
        return {
            "mediaGenerationContext": {
                "batchId": str(uuid.uuid4()),
                "audioFailurePreference": "BLOCK_SILENCED_VIDEOS",
            },
            "clientContext": self.tiered_context,
            "useV2ModelConfig": True,
            "requests": [{name: value for name, value in request.items() if value is not None}],
        }

    async def submit(self, body: dict[str, Any] | str, kind: str = "Text") -> httpx.Response:
        body = self.video_body(body) if isinstance(body, str) else body
        return await self.api(f"/video:batchAsyncGenerateVideo{kind}", body)

    async def clip(self, prompt: str = "waves", **changes: Any) -> dict[str, Any]:
        answer = await self.submit(self.video_body(prompt, **changes))
        assert answer.status_code == 200, answer.text
        return answer.json()["media"][0]

    async def status(self, *names: str) -> httpx.Response:
        entries = [{"name": name, "projectId": self.project_id} for name in names]
        return await self.api("/video:batchCheckAsyncVideoGenerationStatus", {"media": entries})

    async def state(self, name: str) -> str:
        entry = (await self.status(name)).json()["media"][0]
        return entry["mediaMetadata"]["mediaStatus"]["mediaGenerationStatus"]

    async def redirect(self, name: str) -> httpx.Response:
        query = {"name": name, "mediaUrlType": "MEDIA_URL_TYPE_FULL_MEDIA"}
        return await self.labs("GET", "/trpc/media.getMediaUrlRedirect", params=query)

    async def upload(self, content: bytes, mime_type: str = "image/png", **changes: Any) -> httpx.Response:
        body = {
            "clientContext": self.context,
            "fileName": "reference-1.png",
            "imageBytes": base64.b64encode(content).decode(),
            "isHidden": False,
            "isUserUploaded": True,
            "mimeType": mime_type,
            **changes,
        }
        return await self.api("/flow/uploadImage", body)

    async def uploaded(self, content: bytes) -> str:
        return (await self.upload(content)).json()["media"]["name"]

    async def credits(self) -> int:
        return (await self.api("/credits")).json()["credits"]


class SteppedClock(Clock):
    """A clock that moves only by ``advance``."""

    def __init__(self) -> None:
        super().__init__(lambda: 1_800_000_000.0)


@pytest.fixture
def clock() -> Clock:
    return SteppedClock()


@pytest.fixture(scope="session")
def no_authorities() -> ssl.SSLContext:
    """A context that trusts nobody. To load the usual authorities takes a tenth of a second for each client."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
async def http(no_authorities: ssl.SSLContext) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20, verify=no_authorities) as client:
        yield client


StartSandbox = Callable[..., Awaitable[RunningSandbox]]


@pytest.fixture
async def start_sandbox() -> AsyncIterator[StartSandbox]:
    """Starts sandboxes with the settings given; all stop at the end. ``clock`` is passed on."""
    async with AsyncExitStack() as stack:

        async def start(*, clock: Clock | None = None, **settings: Any) -> RunningSandbox:
            chosen = SandboxSettings(**{"port": 0, "time_scale": 0, **settings})
            return await stack.enter_async_context(running_sandbox(chosen, clock=clock))

        yield start


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> RunningSandbox:
    return await start_sandbox()


@pytest.fixture
async def flow(sandbox: RunningSandbox, http: httpx.AsyncClient) -> FlowClient:
    return await FlowClient(sandbox, http).open()


@pytest.fixture
async def ultra(sandbox: RunningSandbox, http: httpx.AsyncClient) -> FlowClient:
    return await FlowClient(sandbox, http, session_token="sandbox-st-2", tier=ULTRA).open()


@pytest.fixture
async def cloud(sandbox: RunningSandbox, http: httpx.AsyncClient) -> CloudClient:
    return await CloudClient(sandbox, http).open()


OpenFlow = Callable[..., Awaitable[FlowClient]]


@pytest.fixture
def open_flow(start_sandbox: StartSandbox, http: httpx.AsyncClient) -> OpenFlow:
    """A Flow client on a sandbox of its own with the settings given."""

    async def open_client(**settings: Any) -> FlowClient:
        return await FlowClient(await start_sandbox(**settings), http).open()

    return open_client


@pytest.fixture
def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 36), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Awaitable[None]]:
    """Waits until a condition holds; fails after five seconds."""

    async def wait(condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the condition belongs to no event
                await asyncio.sleep(0.01)

    return wait
