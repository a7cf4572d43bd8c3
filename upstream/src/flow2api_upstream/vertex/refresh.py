"""From a credential to an access token. Source: docs/upstream/google-official.md, section 3."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urlencode

from flow2api_common.clock import Clock
from flow2api_upstream.google.advice import advice_of
from flow2api_upstream.google.classify import Scope, failure_of_answer, upstream
from flow2api_upstream.http import HttpAnswer, HttpClient, HttpRequest
from flow2api_upstream.json_reading import as_object, int_at, text_at
from flow2api_upstream.port import AccessGrant, FailureClass, Secret, UpstreamFailure
from flow2api_upstream.settings import UpstreamSettings
from flow2api_upstream.vertex.assertion import SCOPE, signed_assertion
from flow2api_upstream.vertex.bearer import VertexBearer
from flow2api_upstream.vertex.credential import (
    ApplicationDefault,
    AuthorizedUser,
    ExpressKey,
    MachineAccount,
    ServiceAccountKey,
    VertexCredential,
    read_credential,
    unreadable,
)

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_USUAL_LIFETIME = timedelta(hours=1)
_METADATA = "/computeMetadata/v1"
_METADATA_HEADERS = {"metadata-flavor": "Google"}
_CLOCK_TOLERANCE = timedelta(minutes=4)
_PASSING_WORDS = frozenset({"internal_failure", "server_error", "temporarily_unavailable"})
_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_CLIENT_WORDS = frozenset({"invalid_client", "unauthorized_client", "access_denied", "unsupported_grant_type"})
_CLOCK_WORDS = ("short-lived token", "reasonable timeframe", "iat and exp", "issued in the future")
_GONE_WORDS = ("account not found", "account has been deleted", "invalid email or user id")
_DISABLED_WORDS = ("disabled",)


@dataclass(frozen=True, slots=True)
class Refreshing:
    """Buys access tokens."""

    settings: UpstreamSettings
    client: HttpClient
    clock: Clock

    async def grant(self, secret: Secret, *, proxy_url: str) -> AccessGrant:
        """Only AUTH means that the credential is dead; a wrong clock and a passing trouble are UPSTREAM or NETWORK."""
        return await self._grant(read_credential(secret), proxy_url)

    async def _grant(self, credential: VertexCredential, proxy_url: str) -> AccessGrant:
        match credential:
            case ExpressKey(value):
                return AccessGrant(bearer=VertexBearer(value, is_key=True).text(), expire_time=None)
            case ServiceAccountKey():
                form = {"grant_type": _JWT_BEARER, "assertion": await signed_assertion(credential, self.clock())}
                answer = await self._exchange(form, proxy_url, is_user=False)
                return self._of_token(answer, email=credential.client_email, project_id=credential.project_id)
            case AuthorizedUser():
                form = {
                    "grant_type": "refresh_token",
                    "client_id": credential.client_id,
                    "client_secret": credential.client_secret,
                    "refresh_token": credential.refresh_token,
                }
                answer = await self._exchange(form, proxy_url, is_user=True)
                project = credential.quota_project_id
                return self._of_token(answer, project_id=project, quota_project=project)
            case MachineAccount(account):
                return await self._of_machine(account)
            case ApplicationDefault():
                return await self._grant(await self._application_default(), proxy_url)

    async def _exchange(self, form: Mapping[str, str], proxy_url: str, *, is_user: bool) -> Mapping[str, object]:
        # The address is ours by setting: a pasted file does not decide where its statement is sent to.
        request = HttpRequest(
            "POST",
            self.settings.google_token_url,
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
            proxy_url=proxy_url,
        )
        answer = await self.client.send(request)
        if not answer.is_success:
            raise self._refused(answer, is_user=is_user)
        return await _object_of(answer)

    def _of_token(
        self, answer: Mapping[str, object], *, email: str = "", project_id: str = "", quota_project: str = ""
    ) -> AccessGrant:
        token = text_at(answer, "access_token")
        if not token:
            raise upstream("The upstream's answer holds no access token.", "malformed_answer")
        seconds = int_at(answer, "expires_in") or 0
        lifetime = timedelta(seconds=seconds) if seconds > 0 else _USUAL_LIFETIME
        return AccessGrant(
            bearer=VertexBearer(token, quota_project=quota_project).text(),
            expire_time=self.clock() + lifetime,
            email=email,
            project_id=project_id,
        )

    async def _of_machine(self, account: str) -> AccessGrant:
        path = f"/instance/service-accounts/{quote(account, safe='@')}"
        answer = await self._metadata(f"{path}/token?scopes={quote(SCOPE, safe='')}")
        return self._of_token(
            await _object_of(answer),
            email=(await self._metadata(f"{path}/email")).body.decode("ascii", "replace").strip(),
            project_id=(await self._metadata("/project/project-id")).body.decode("ascii", "replace").strip(),
        )

    async def _metadata(self, path: str) -> HttpAnswer:
        # Never over a proxy: it is this machine's own.
        url = self.settings.google_metadata_url.rstrip("/") + _METADATA + path
        try:
            answer = await self.client.send(HttpRequest("GET", url, headers=_METADATA_HEADERS))
        except UpstreamFailure as failure:
            failure.advice = advice_of("no_metadata_server")
            raise
        if answer.status == 404:
            raise UpstreamFailure(
                FailureClass.UPSTREAM,
                "This machine has no service account.",
                reason="no_metadata_server",
                http_status=404,
                advice=advice_of("no_metadata_server"),
            )
        if not answer.is_success:
            raise failure_of_answer(answer.status, answer.body, answer.headers, scope=Scope.CONTROL, now=self.clock())
        return answer

    async def _application_default(self) -> VertexCredential:
        file = self.settings.google_application_credentials
        if not file:
            return MachineAccount()
        try:
            text = await asyncio.to_thread(Path(file).read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise UpstreamFailure(
                FailureClass.UPSTREAM,
                "The credentials file of this machine cannot be read.",
                reason="no_credentials_file",
                advice="FLOW2API_GOOGLE_APPLICATION_CREDENTIALS names a file that this service cannot read.",
            ) from None
        credential = read_credential(Secret(text))
        if isinstance(credential, (ApplicationDefault, ExpressKey)):
            raise unreadable("The file of FLOW2API_GOOGLE_APPLICATION_CREDENTIALS holds no credential.")
        return credential

    def _refused(self, answer: HttpAnswer, *, is_user: bool) -> UpstreamFailure:
        """Permanent failures told from passing ones. Source: docs/upstream/google-official.md, section 3."""
        try:
            body = as_object(json.loads(answer.body))
        except ValueError:
            body = {}
        word, description = text_at(body, "error"), text_at(body, "error_description")
        if answer.status in _PASSING_STATUSES or word in _PASSING_WORDS or not word:
            failure = failure_of_answer(
                answer.status, answer.body, answer.headers, scope=Scope.CONTROL, now=self.clock()
            )
            if failure.failure_class in {FailureClass.THROTTLED, FailureClass.UPSTREAM}:
                return failure
            # An answer in no form that this endpoint has proves nothing.
            return upstream("The upstream failed.", word or "token_endpoint")
        reason = self._reason_of(word, description, answer, is_user=is_user)
        return UpstreamFailure(
            FailureClass.UPSTREAM if reason == "clock_wrong" else FailureClass.AUTH,
            "The upstream does not accept the credential.",
            reason=reason,
            http_status=answer.status,
            advice=advice_of(reason),
        )

    def _reason_of(self, word: str, description: str, answer: HttpAnswer, *, is_user: bool) -> str:
        said = description.lower()
        if word in _CLIENT_WORDS:
            return "oauth_client_refused"
        if word == "invalid_scope":
            return "scope_refused"
        if is_user:
            return "refresh_token_revoked"
        if any(each in said for each in _CLOCK_WORDS) or _is_skewed(answer, self.clock()):
            return "clock_wrong"
        if any(each in said for each in _GONE_WORDS):
            return "account_not_found"
        if any(each in said for each in _DISABLED_WORDS):
            return "account_disabled"
        return "key_revoked" if word == "invalid_grant" else word


def _is_skewed(answer: HttpAnswer, now: datetime) -> bool:
    """Whether the answer's own time is another one than ours."""
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
        return abs(theirs - now) > _CLOCK_TOLERANCE
    except (TypeError, ValueError):
        return False


async def _object_of(answer: HttpAnswer) -> Mapping[str, object]:
    try:
        value = await answer.json()
    except ValueError as exc:
        raise upstream("The upstream's answer is no JSON.", "malformed_answer") from exc
    return as_object(value)
