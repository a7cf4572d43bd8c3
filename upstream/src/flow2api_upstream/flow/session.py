"""ST → AT: the session cookie buys an access token. Source: docs/upstream/flow.md, section 2."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from flow2api_upstream.flow.calls import FlowCalls
from flow2api_upstream.flow.classify import Scope, malformed
from flow2api_upstream.flow.cookies import renewed_session_token
from flow2api_upstream.http import HttpAnswer
from flow2api_upstream.json_reading import as_object, object_at, text_at
from flow2api_upstream.port import AccessGrant, FailureClass, Secret, UpstreamFailure

_USUAL_LIFETIME = timedelta(hours=1)
_DEAD_MESSAGES: Mapping[str, str] = {
    "st_expired": "The session has ended; its owner has to sign in again.",
    "no_access_token": "The session buys no access token: the account has no Flow access here, or was moved.",
    "st_refused": "The session leads to a login or consent page; its owner has to open Flow in a browser once.",
}


async def refresh(calls: FlowCalls, secret: Secret, *, proxy_url: str) -> AccessGrant:
    """Buy an access token, keeping a renewed cookie. Only AUTH means that the session is dead."""
    request = calls.labs_request("GET", "/auth/session", secret.value, proxy_url=proxy_url)
    answer = await calls.client.send(request)
    session = await _session_of(calls, answer)
    access_token = text_at(session, "access_token")
    if text_at(session, "error") or not session:
        raise _dead("st_expired", reason_of=session)
    if not access_token:
        raise _dead("no_access_token" if object_at(session, "user") else "st_expired")
    renewed = renewed_session_token(answer.set_cookies, secret.value)
    return AccessGrant(
        bearer=access_token,
        expire_time=_end_of(text_at(session, "expires"), calls.clock()),
        email=text_at(session, "user", "email"),
        name=text_at(session, "user", "name"),
        rotated_secret=Secret(renewed) if renewed else None,
    )


async def _session_of(calls: FlowCalls, answer: HttpAnswer) -> Mapping[str, object]:
    if 300 <= answer.status < 400:
        raise _dead("st_refused")
    if answer.status in {401, 403}:
        failure = calls.failure_of(answer, scope=Scope.CONTROL)
        raise failure if failure.failure_class is FailureClass.VERIFICATION else _dead("st_expired")
    if not answer.is_success:
        failure = calls.failure_of(answer, scope=Scope.CONTROL)
        if failure.failure_class is FailureClass.BAD_INPUT:  # Proves nothing about the session.
            raise UpstreamFailure(
                FailureClass.UPSTREAM, "The upstream failed.", reason=failure.reason, http_status=answer.status
            )
        raise failure
    if _is_html(answer):
        raise _dead("st_refused")
    try:
        value = await answer.json()
    except ValueError as exc:
        raise malformed("the session is no JSON") from exc
    if not isinstance(value, dict):
        raise malformed("the session is no object")
    return as_object(value)


def _dead(reason: str, *, reason_of: Mapping[str, object] | None = None) -> UpstreamFailure:
    detail = text_at(reason_of or {}, "error")
    message = _DEAD_MESSAGES[reason]
    return UpstreamFailure(FailureClass.AUTH, f"{message} ({detail[:64]})" if detail else message, reason=reason)


def _is_html(answer: HttpAnswer) -> bool:
    return "html" in answer.headers.get("content-type", "") or answer.body.lstrip()[:1] == b"<"


def _end_of(stated: str, now: datetime) -> datetime:
    """When the access token ends: as stated, but not later than such tokens live, as the session lives longer."""
    usual = now + _USUAL_LIFETIME
    return min(_time_of(stated) or usual, usual)


def _time_of(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
