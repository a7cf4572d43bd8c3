"""How every call to an official API is sent and answered."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, Protocol

from flow2api_common.clock import Clock
from flow2api_upstream.google.classify import Scope, failure_of_answer, upstream
from flow2api_upstream.google.short_json import shortened_json
from flow2api_upstream.http import HttpAnswer, HttpClient, HttpRequest, HttpStream
from flow2api_upstream.http_body import json_body
from flow2api_upstream.json_reading import as_object
from flow2api_upstream.port import Account, UpstreamFailure
from flow2api_upstream.settings import UpstreamSettings

_JSON = {"content-type": "application/json"}


class GoogleApi(Protocol):
    """Where one of the two APIs is, and what it is shown. Addresses raise BAD_INPUT where an account has none."""

    @property
    def provider(self) -> str:
        """``gemini`` or ``vertex``."""

    @property
    def generation_scope(self) -> Scope:
        """What a 404 of a generation means here."""

    def model_url(self, account: Account, model: str, method: str) -> str:
        """Where a method of a model is."""

    def interactions_url(self, account: Account) -> str:
        """Where interactions are."""

    def operation_request(self, name: str) -> tuple[Literal["GET", "POST"], str, Mapping[str, object] | None]:
        """How a long-running operation is read: method, address and body."""

    def credentials(self, account: Account) -> dict[str, str]:
        """The headers that the API knows the account by; a secret never stands in an address, which ends up in logs."""


@dataclass(frozen=True, slots=True)
class GoogleCalls:
    """Calls to one of the APIs. Source: docs/upstream/google-official.md, sections 2, 3 and 10."""

    api: GoogleApi
    settings: UpstreamSettings
    client: HttpClient
    clock: Clock

    def request(
        self,
        account: Account,
        method: Literal["GET", "POST"],
        url: str,
        body: Mapping[str, object] | None = None,
        *,
        timeout: timedelta | None = None,
        paid: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> HttpRequest:
        """A call, not sent yet."""
        patience = {} if timeout is None else {"x-server-timeout": str(max(1, int(timeout.total_seconds())))}
        return HttpRequest(
            method,
            url,
            headers={**({} if body is None else _JSON), **patience, **(headers or {})},
            credentials=self.api.credentials(account),
            body=None if body is None else json_body(body),
            timeout=timeout,
            proxy_url=account.proxy_url,
            paid=paid,
        )

    async def call(
        self,
        account: Account,
        method: Literal["GET", "POST"],
        url: str,
        body: Mapping[str, object] | None = None,
        *,
        scope: Scope,
        timeout: timedelta | None = None,
        paid: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, object]:
        """The answer of a call. Raises UpstreamFailure for any error."""
        request = self.request(account, method, url, body, timeout=timeout, paid=paid, headers=headers)
        return await self.answer(request, scope=scope)

    async def answer(self, request: HttpRequest, *, scope: Scope) -> Mapping[str, object]:
        """The whole answer. Raises UpstreamFailure for any error."""
        answer = await self.client.send(request)
        if not answer.is_success:
            raise self.failure_of(answer, scope=scope, paid=request.paid)
        try:
            value = await answer.json()
        except ValueError as exc:
            raise upstream("The upstream's answer is no JSON.", "malformed_answer", paid=request.paid) from exc
        if not isinstance(value, dict):
            raise upstream("The upstream's answer is no object.", "malformed_answer", paid=request.paid)
        return as_object(value)

    async def short_answer(
        self, request: HttpRequest, *, scope: Scope, ends_at_long_text: bool = False
    ) -> Mapping[str, object]:
        """The answer of a call that may hold a whole clip, with long texts cut short, in constant memory.

        With ``ends_at_long_text`` nothing is read behind the first one. Raises UpstreamFailure for any error.
        """
        async with self.open(request, scope=scope) as stream:
            try:
                value = await shortened_json(stream.chunks, ends_at_long_text=ends_at_long_text)
            except ValueError as exc:
                raise upstream("The upstream's answer is no JSON.", "malformed_answer") from exc
        if not isinstance(value, dict):
            raise upstream("The upstream's answer is no object.", "malformed_answer")
        return as_object(value)

    @asynccontextmanager
    async def open(self, request: HttpRequest, *, scope: Scope) -> AsyncIterator[HttpStream]:
        """An answer to be read chunk by chunk. Raises UpstreamFailure for any error."""
        whole = {**request.headers, "accept-encoding": "identity"}
        async with self.client.stream(replace(request, headers=whole)) as stream:
            if not stream.is_success:
                raise failure_of_answer(stream.status, stream.error_body, stream.headers, scope=scope, now=self.clock())
            yield stream

    def failure_of(self, answer: HttpAnswer, *, scope: Scope, paid: bool = False) -> UpstreamFailure:
        """The failure that an error answer is."""
        return failure_of_answer(answer.status, answer.body, answer.headers, scope=scope, now=self.clock(), paid=paid)
