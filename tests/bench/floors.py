"""The bare floors: what a streamed answer costs when nothing happens behind it.

Run as a process of its own: ``floors.py http`` or ``floors.py grpc``; prints the port when it listens.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator

import grpc.aio
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

EVENTS = 8
"""Messages per answer: about as many as a streamed chat image has."""

ECHO_METHOD = "/flow2api.bench.Echo/Stream"


def http_floor() -> FastAPI:
    """FastAPI endpoints that parse their JSON body: one streams as many events as a chat image does, one answers."""
    app = FastAPI()
    chunk = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "bench",
        "choices": [{"index": 0, "delta": {"reasoning_content": "generating\n"}, "finish_reason": None}],
    }

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> StreamingResponse:
        await request.json()

        async def events() -> AsyncIterator[bytes]:
            for _ in range(EVENTS):
                yield f"data: {json.dumps(chunk)}\n\n".encode()
            yield b"data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    @app.post("/v1/images/generations")
    async def generate(request: Request) -> dict[str, object]:
        await request.json()
        return {"created": 0, "data": [{"url": "http://127.0.0.1/media/bench"}], "size": "1024x1024"}

    return app


async def serve_http() -> None:
    # Without the protocol, asyncio does not switch Nagle's algorithm off on the connections.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    await uvicorn.Server(uvicorn.Config(http_floor(), log_level="warning")).serve(sockets=[listener])


async def serve_grpc() -> None:
    """A grpc.aio method that answers each request with ``EVENTS`` copies of it."""

    async def stream(request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        for _ in range(EVENTS):
            yield request

    service, method = ECHO_METHOD.strip("/").split("/")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: grpc.unary_stream_rpc_method_handler(stream)}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run({"http": serve_http, "grpc": serve_grpc}[sys.argv[1]]())
