"""How every Flow call is sent and answered: addresses, headers, the common context, and errors classified."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from flow2api_common.clock import Clock
from flow2api_upstream.flow.classify import Scope, failure_of_answer, malformed
from flow2api_upstream.flow.cookies import session_cookie_header
from flow2api_upstream.http import HttpAnswer, HttpClient, HttpRequest
from flow2api_upstream.http_body import json_body
from flow2api_upstream.json_reading import as_object
from flow2api_upstream.port import Account, AccountTier, FailureClass, UpstreamFailure
from flow2api_upstream.settings import UpstreamSettings

TOOL = "PINHOLE"
_BROWSER = {"origin": "https://labs.google", "referer": "https://labs.google/"}
_JSON = {"content-type": "application/json"}
_PAYGATE_TIERS: Mapping[AccountTier, str] = {
    AccountTier.UNSPECIFIED: "PAYGATE_TIER_NOT_PAID",
    AccountTier.NOT_PAID: "PAYGATE_TIER_NOT_PAID",
    AccountTier.ONE: "PAYGATE_TIER_ONE",
    AccountTier.TWO: "PAYGATE_TIER_TWO",
}


@dataclass(frozen=True, slots=True)
class FlowCalls:
    """The two hosts of Flow. Source: docs/upstream/flow.md, sections 1, 3 and 5."""

    settings: UpstreamSettings
    client: HttpClient
    clock: Clock

    async def api(
        self,
        account: Account,
        method: Literal["GET", "POST"],
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        scope: Scope,
        timeout: timedelta | None = None,
        paid: bool = False,
        repeatable: bool = True,
    ) -> Mapping[str, object]:
        """The answer of a bearer call; ``path`` begins with ``/`` or ``:``. Raises UpstreamFailure for any error."""
        request = self.api_request(account, method, path, body, timeout=timeout, paid=paid, repeatable=repeatable)
        return await self._answer(request, scope=scope)

    def api_request(
        self,
        account: Account,
        method: Literal["GET", "POST"],
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        timeout: timedelta | None = None,
        paid: bool = False,
        repeatable: bool = True,
    ) -> HttpRequest:
        """A bearer call, not sent yet."""
        return HttpRequest(
            method,
            self.settings.flow_api_url.rstrip("/") + path,
            headers=_BROWSER if body is None else _BROWSER | _JSON,
            credentials={"authorization": f"Bearer {account.bearer}"},
            body=None if body is None else json_body(body),
            timeout=timeout,
            proxy_url=account.proxy_url,
            paid=paid,
            repeatable=repeatable,
        )

    async def labs(self, account: Account, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """The answer of a cookie call. Raises UpstreamFailure for any error."""
        request = self.labs_request("POST", path, account.session_token, proxy_url=account.proxy_url, body=body)
        return await self._answer(request, scope=Scope.CONTROL)

    def labs_request(
        self,
        method: Literal["GET", "POST"],
        path: str,
        session_token: str,
        *,
        proxy_url: str,
        body: Mapping[str, object] | None = None,
    ) -> HttpRequest:
        """A cookie call, not sent yet."""
        return HttpRequest(
            method,
            self.settings.flow_labs_url.rstrip("/") + path,
            headers=_BROWSER if body is None else _BROWSER | _JSON,
            credentials={"cookie": session_cookie_header(session_token)},
            body=None if body is None else json_body(body),
            proxy_url=proxy_url,
        )

    def failure_of(self, answer: HttpAnswer, *, scope: Scope, paid: bool = False) -> UpstreamFailure:
        """The failure that an error answer is."""
        return failure_of_answer(answer.status, answer.body, answer.headers, scope=scope, now=self.clock(), paid=paid)

    async def _answer(self, request: HttpRequest, *, scope: Scope) -> Mapping[str, object]:
        answer = await self.client.send(request)
        if not answer.is_success:
            raise self.failure_of(answer, scope=scope, paid=request.paid)
        try:
            value = await answer.json()
        except ValueError as exc:
            raise malformed("it is no JSON", paid=request.paid) from exc
        if not isinstance(value, dict):
            raise malformed("it is no object", paid=request.paid)
        return as_object(value)


def client_context(account: Account, *, session_id: str = "", with_tier: bool = False) -> dict[str, str]:
    """``clientContext`` of a call. Source: docs/upstream/flow.md, section 5."""
    context = {
        "sessionId": session_id or new_session_id(),
        "projectId": account.project_id,
        "tool": TOOL,
    }
    if with_tier:
        context["userPaygateTier"] = _PAYGATE_TIERS[account.tier]
    return context


def new_session_id() -> str:
    """``;`` and milliseconds since the epoch, once per logical user action."""
    return f";{time.time_ns() // 1_000_000}"


def seed_within(seed: int, limit: int) -> int:
    """The seed itself if Flow takes it, else one within 1 and ``limit`` that follows from it."""
    return seed if 1 <= seed <= limit else seed % limit + 1


def bad_input(message: str, reason: str) -> UpstreamFailure:
    """What Flow cannot be asked; found before asking."""
    return UpstreamFailure(FailureClass.BAD_INPUT, message, reason=reason)
