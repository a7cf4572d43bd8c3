"""Clients of a running gateway: its public API and its administration, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx

_CONNECT_TIMEOUT_SECONDS = 5.0
_ADMIN_TIMEOUT_SECONDS = 60.0
# As long as OpenAI's own client waits. Source: docs/upstream/openai.md, section 4.
_GENERATION_TIMEOUT_SECONDS = 600.0


class ApiError(RuntimeError):
    """The gateway refused, or is not there; the message is for people and says what to do about it."""

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Api:
    """JSON calls to one gateway with one bearer. Errors are raised as ApiError."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        text: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Any:
        """Send one request with ``json`` or plain ``text``; give the decoded answer, None when it has no body."""
        content = None if text is None else text.encode()
        if content is not None:
            headers = {**(headers or {}), "content-type": "text/plain; charset=utf-8"}
        timeout = httpx.USE_CLIENT_DEFAULT if timeout_seconds is None else httpx.Timeout(timeout_seconds)
        with _connection_errors(self._client):
            response = await self._client.request(
                method, path, json=json, content=content, params=params, headers=headers, timeout=timeout
            )
        raise_for_error(response)
        return response.json() if response.content else None

    async def download(self, url: str) -> bytes:
        """Fetch a file; ``url`` may be a whole link or a path."""
        with _connection_errors(self._client):
            response = await self._client.get(url, follow_redirects=True)
        raise_for_error(response)
        return response.content

    @asynccontextmanager
    async def stream(self, path: str, *, json: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[str]]:
        """POST and give the data of the server-sent events, without the closing ``[DONE]``."""
        with _connection_errors(self._client):
            async with self._client.stream("POST", path, json=json) as response:
                if response.is_error:
                    await response.aread()
                    raise_for_error(response)
                yield _event_data(response)


@asynccontextmanager
async def public_api(base_url: str, api_key: str) -> AsyncIterator[Api]:
    """The API that applications use, as the owner of ``api_key``."""
    async with _client(base_url, _GENERATION_TIMEOUT_SECONDS, {"authorization": f"Bearer {api_key}"}) as client:
        yield Api(client)


@asynccontextmanager
async def admin_api(base_url: str, username: str, password: str) -> AsyncIterator[Api]:
    """Log in for the length of the block. Raises ApiError when that fails."""
    async with _client(base_url, _ADMIN_TIMEOUT_SECONDS, {}) as client:
        api = Api(client)
        answer = await api.call("POST", "/admin/login", json={"username": username, "password": password})
        client.headers["authorization"] = f"Bearer {answer['token']}"
        yield api


def raise_for_error(response: httpx.Response) -> None:
    """Raise ApiError with the message of the gateway's error envelope when the answer is an error."""
    if not response.is_error:
        return
    error: Any = None
    with suppress(ValueError, KeyError, TypeError):
        error = response.json()["error"]
    if isinstance(error, dict):
        raise error_from_envelope(error, status=response.status_code)
    raise ApiError(f"{response.request.url.path} answered {response.status_code}", status=response.status_code)


def error_from_envelope(error: Mapping[str, Any], *, status: int | None = None) -> ApiError:
    """The ApiError of an OpenAI error object."""
    code = error.get("code")
    message = str(error.get("message") or "the request failed")
    return ApiError(f"{message} ({code})" if code else message, status=status, code=str(code) if code else None)


def _client(base_url: str, timeout_seconds: float, headers: Mapping[str, str]) -> httpx.AsyncClient:
    timeout = httpx.Timeout(timeout_seconds, connect=_CONNECT_TIMEOUT_SECONDS)
    # trust_env off: a proxy of the environment must not stand between us and our own gateway.
    return httpx.AsyncClient(base_url=base_url.rstrip("/"), headers=dict(headers), timeout=timeout, trust_env=False)


class _connection_errors:  # noqa: N801 - reads as the statement that it is used as
    """Turns transport errors into ApiError."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._base_url = client.base_url

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, httpx.ConnectError):
            raise ApiError(f"no gateway answers at {self._base_url}: start it with 'flow2api up'") from error
        if isinstance(error, httpx.TimeoutException):
            raise ApiError(f"the gateway at {self._base_url} did not answer in time") from error
        if isinstance(error, httpx.TransportError):
            raise ApiError(f"the connection to {self._base_url} broke: {type(error).__name__}") from error


async def _event_data(response: httpx.Response) -> AsyncIterator[str]:
    # Lines starting with a colon are keep-alives. Source: docs/upstream/openai.md, section 6.
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data == "[DONE]":
            return
        if data:
            yield data
