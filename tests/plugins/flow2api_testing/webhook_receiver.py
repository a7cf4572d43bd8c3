"""A receiver of webhooks in a thread of the test, which keeps what comes and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai

_ANSWER_TIMEOUT_SECONDS = 30.0


@dataclass
class Receiver:
    """An HTTP server that keeps what comes, by path; it answers nothing while ``answers`` is not set."""

    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)
    status: int = 204
    port: int = 0

    def url(self, path: str) -> str:
        """Where to send; ``path`` tells receivers apart."""
        return f"http://127.0.0.1:{self.port}/{path}"

    def events(self, path: str, secret: str) -> list[Any]:
        """What came to a path, as the official SDK verifies and reads it."""
        client = openai.OpenAI(api_key="unused")
        return [
            client.webhooks.unwrap(body, headers, secret=secret)
            for at, headers, body in list(self.received)
            if at == f"/{path}"
        ]


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """A receiver that answers at once, until it is told otherwise."""
    found = Receiver()
    found.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.received.append((self.path, dict(self.headers.items()), body))
            if found.answers.wait(timeout=_ANSWER_TIMEOUT_SECONDS):
                self.send_response(found.status)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the method that it replaces
            """Nothing on standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, name="receiver")
    thread.start()
    try:
        yield found
    finally:
        found.answers.set()
        server.shutdown()
        server.server_close()
        thread.join()
