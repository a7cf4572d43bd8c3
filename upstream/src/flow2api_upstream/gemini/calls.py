"""How every Gemini API call is sent and answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from flow2api_common.clock import Clock
from flow2api_upstream.gemini.classify import Scope, failure_of_answer, upstream
from flow2api_upstream.http import HttpClient, HttpRequest, json_body
from flow2api_upstream.json_reading import as_object
from flow2api_upstream.port import Account
from flow2api_upstream.settings import UpstreamSettings

_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class GeminiCalls:
    """The one host of the Gemini API. Source: docs/upstream/google-official.md, sections 2 and 3."""

    settings: UpstreamSettings
    client: HttpClient
    clock: Clock

    async def call(
        self,
        account: Account,
        method: Literal["GET", "POST"],
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        scope: Scope,
        timeout: timedelta | None = None,
        paid: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, object]:
        """The answer of a call; ``path`` begins with ``/v1beta``. Raises UpstreamFailure for any error."""
        request = HttpRequest(
            method,
            self.base_url + path,
            headers={**({} if body is None else _JSON), **(headers or {})},
            credentials=key_header(account),
            body=None if body is None else json_body(body),
            timeout=timeout,
            proxy_url=account.proxy_url,
            paid=paid,
        )
        answer = await self.client.send(request)
        if not answer.is_success:
            raise failure_of_answer(
                answer.status, answer.body, answer.headers, scope=scope, now=self.clock(), paid=paid
            )
        try:
            value = await answer.json()
        except ValueError as exc:
            raise upstream("The upstream's answer is no JSON.", "malformed_answer", paid=paid) from exc
        if not isinstance(value, dict):
            raise upstream("The upstream's answer is no object.", "malformed_answer", paid=paid)
        return as_object(value)

    @property
    def base_url(self) -> str:
        """Where the API is, without a slash at the end."""
        return self.settings.gemini_url.rstrip("/")


def key_header(account: Account) -> dict[str, str]:
    """The key, in a header and never in the query, which ends up in logs."""
    return {"x-goog-api-key": account.bearer}
