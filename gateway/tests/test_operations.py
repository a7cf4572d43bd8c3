"""Health, metrics, documents, and the end of the gateway."""

from __future__ import annotations

import asyncio
import socket
from datetime import timedelta
from typing import Any

import httpx
import pytest

from flow2api_common.settings import SettingsError, load_settings
from flow2api_gateway.composition import running_gateway
from flow2api_gateway.server import bind
from flow2api_gateway.settings import GatewaySettings
from flow2api_proto.generation.v1 import video_pb2
from flow2api_testing.waiting import eventually

KEY = {"authorization": "Bearer sk-good-key-0123456789"}
CHAT = {"model": "gemini-3.1-flash-image", "messages": [{"role": "user", "content": "a cat"}], "stream": True}


async def test_alive_and_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}

    async def ready() -> bool:
        return (await client.get("/readyz")).status_code == 200

    await eventually(ready)
    # Monitors ask for the head alone.
    assert [(await client.head(path)).status_code for path in ("/healthz", "/readyz")] == [200, 200]


async def test_not_ready_without_a_peer_but_alive(client: httpx.AsyncClient, world: Any) -> None:
    await world.servers["token"].stop(timedelta(0))
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["checks"]["token"]) == (503, "unavailable")
    assert (await client.get("/healthz")).status_code == 200


async def test_metrics_count_routes_and_not_ids(client: httpx.AsyncClient) -> None:
    await client.get("/v1/videos/video_secret_id")
    text = (await client.get("/metrics")).text
    assert 'route="/v1/videos/{video_id}"' in text
    assert "video_secret_id" not in text


async def test_the_document_names_every_route_and_no_422(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert {"/v1/chat/completions", "/v1/videos/{video_id}/content", "/admin/tokens", "/media/{media_id}"} <= set(
        document["paths"]
    )
    answers = [operation["responses"] for path in document["paths"].values() for operation in path.values()]
    assert not any("422" in responses for responses in answers)
    chat = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"model", "messages"} <= set(chat["required"])


async def test_docs_and_the_front_door(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs")).status_code == 200
    assert (await client.get("/")).json()["base_url"] == "http://gw.example/v1"


async def test_a_stream_under_way_may_end_while_draining(world: Any) -> None:
    world.generation.image_gate = asyncio.Event()
    settings = world.with_settings(drain_timeout=timedelta(seconds=20))
    async with httpx.AsyncClient(headers=KEY, timeout=20) as client:
        async with running_gateway(settings) as service:
            request = client.build_request("POST", f"{service.address}/v1/chat/completions", json=CHAT)
            answer = await client.send(request, stream=True)
            asyncio.get_running_loop().call_later(0.1, world.generation.image_gate.set)
            reading = asyncio.create_task(answer.aread())
        assert (await reading).endswith(b"data: [DONE]\n\n")


async def test_a_stream_that_does_not_end_is_told_and_ended(world: Any) -> None:
    world.generation.image_gate = asyncio.Event()
    async with httpx.AsyncClient(headers=KEY, timeout=20) as client:
        async with running_gateway(world.settings) as service:
            request = client.build_request("POST", f"{service.address}/v1/chat/completions", json=CHAT)
            answer = await client.send(request, stream=True)
            reading = asyncio.create_task(answer.aread())
        assert b'"service_unavailable"' in await reading
    await asyncio.wait_for(world.generation.image_cancelled.wait(), 10)


async def test_events_that_can_be_resumed_end_at_once(world: Any) -> None:
    world.generation.videos["video_1"] = video_pb2.Video(video_id="video_1", version=1, api_key_id="key_1")
    settings = world.with_settings(drain_timeout=timedelta(minutes=10))
    async with httpx.AsyncClient(headers=KEY, timeout=20) as client:
        async with running_gateway(settings) as service:
            request = client.build_request("GET", f"{service.address}/v1/videos/video_1/events")
            answer = await client.send(request, stream=True)
            reading = asyncio.create_task(answer.aread())
        seen = await reading
    assert b"id: 1-0" in seen
    assert b"error" not in [line.split(b": ")[-1] for line in seen.splitlines() if line.startswith(b"event")]


async def test_an_answer_that_does_not_come_is_ended_and_not_to_be_repeated(world: Any) -> None:
    world.generation.image_gate = asyncio.Event()
    async with httpx.AsyncClient(headers=KEY, timeout=20) as client:
        async with running_gateway(world.settings) as service:
            asking = asyncio.create_task(
                client.post(f"{service.address}/v1/chat/completions", json=CHAT | {"stream": False})
            )
            await eventually(lambda: world.generation.image_requests)
        answer = await asking
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")


async def test_a_gateway_starts_before_its_peers(world: Any) -> None:
    settings = world.with_settings(token_addr="127.0.0.1:1", generation_addr="127.0.0.1:1")
    async with running_gateway(settings) as service, httpx.AsyncClient(headers=KEY) as client:
        assert (await client.get(f"{service.address}/healthz")).status_code == 200
        assert (await client.get(f"{service.address}/v1/models")).status_code == 503


async def test_a_taken_port_is_told_at_once(world: Any) -> None:
    async with running_gateway(world.settings) as service:
        port = int(service.address.rpartition(":")[2])
        with pytest.raises(OSError):
            async with running_gateway(world.with_settings(port=port)):
                pass


async def test_links_begin_with_the_public_url(world: Any) -> None:
    settings = world.with_settings(public_url="https://pictures.example/flow")
    async with running_gateway(settings) as service, httpx.AsyncClient(headers=KEY) as client:
        body = {"model": "gemini-3.1-flash-image", "prompt": "a cat", "response_format": "url"}
        answer = (await client.post(f"{service.address}/v1/images/generations", json=body)).json()
    assert answer["data"][0]["url"].startswith("https://pictures.example/flow/media/")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "SERVICE_TOKEN": "t",
        "SECRET_KEY": "k" * 16,
        "MEDIA_URL": "file:///tmp/media",
        "ALLOW_PRIVATE_HOSTS": "127.0.0.1:8080, pictures.local:80",
        "PUBLIC_URL": "https://gw.example/",
        "HEARTBEAT_INTERVAL": "3",
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"FLOW2API_{name}", value)
    settings = load_settings(GatewaySettings)
    assert settings.allow_private_hosts == ("127.0.0.1:8080", "pictures.local:80")
    assert settings.public_url == "https://gw.example"
    assert settings.heartbeat_interval == timedelta(seconds=3)
    monkeypatch.setenv("FLOW2API_PUBLIC_URL", "gw.example")
    with pytest.raises(SettingsError, match="FLOW2API_PUBLIC_URL"):
        load_settings(GatewaySettings)


async def test_accepted_connections_do_not_wait_for_acknowledgements() -> None:
    accepted: asyncio.Queue[int] = asyncio.Queue()

    async def on_connection(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        accepted.put_nowait(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = bind("127.0.0.1", 0)
    server = await asyncio.start_server(on_connection, sock=listener)
    _, writer = await asyncio.open_connection(*listener.getsockname())
    assert await asyncio.wait_for(accepted.get(), 10)
    writer.close()
    server.close()
