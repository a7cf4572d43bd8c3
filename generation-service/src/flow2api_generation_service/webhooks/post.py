"""One attempt: a signed POST to a checked address."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

import httpx
from prometheus_client import Counter, Histogram

from flow2api_common.clock import Clock
from flow2api_common.outbound.client import CheckedClient
from flow2api_common.outbound.targets import RefusedTarget
from flow2api_generation_service.webhooks.receivers import ReceiverAddresses
from flow2api_generation_service.webhooks.settings import WebhookSettings
from flow2api_generation_service.webhooks.signing import signature_headers

ATTEMPTS_TOTAL = Counter("flow2api_webhook_attempts_total", "Attempts to deliver a webhook, by outcome", ["outcome"])
ATTEMPT_SECONDS = Histogram("flow2api_webhook_attempt_seconds", "How long attempts to deliver a webhook take")

_LONGEST_RETRY_AFTER: Final = timedelta(days=1)


class AttemptError(StrEnum):
    """Why an attempt failed."""

    STATUS = "status"
    TIMEOUT = "timeout"
    CONNECT = "connect"
    TLS = "tls"
    REFUSED_ADDRESS = "refused_address"
    PROTOCOL = "protocol"
    ENDPOINT_DISABLED = "endpoint_disabled"
    SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105 - the name of an error


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an attempt; ``error`` is None when the receiver took it."""

    status_code: int | None
    error: AttemptError | None
    duration: timedelta
    retry_after: timedelta | None = None


class WebhookSender:
    """Posts. Redirects are failures and not followed; of an answer only status and headers are read."""

    def __init__(self, *, settings: WebhookSettings, addresses: ReceiverAddresses, clock: Clock) -> None:
        self._addresses = addresses
        self._clock = clock
        self._timeout = settings.webhook_timeout
        self._client = CheckedClient(
            connect_timeout=settings.webhook_connect_timeout,
            read_timeout=settings.webhook_timeout,
            max_connections=2 * settings.webhook_concurrency,
            headers={"content-type": "application/json", "user-agent": "flow2api", "accept-encoding": "identity"},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def post(
        self, url: str, *, kind: str, event_id: str, payload: str, signing_secrets: Sequence[str]
    ) -> Attempt:
        """Try once. Raises nothing but its cancellation."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        status_code, error, retry_after = None, None, None
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                status_code, retry_after = await self._post(url, kind, event_id, payload.encode(), signing_secrets)
            if not 200 <= status_code < 300:
                error = AttemptError.STATUS
        except RefusedTarget:
            error = AttemptError.REFUSED_ADDRESS
        except (TimeoutError, httpx.TimeoutException):
            error = AttemptError.TIMEOUT
        except httpx.ConnectError as failure:
            error = AttemptError.TLS if _is_tls(failure) else AttemptError.CONNECT
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            error = AttemptError.PROTOCOL
        duration = timedelta(seconds=loop.time() - began)
        ATTEMPT_SECONDS.observe(duration.total_seconds())
        ATTEMPTS_TOTAL.labels(error.value if error else "delivered").inc()
        return Attempt(status_code, error, duration, retry_after)

    async def _post(
        self, url: str, kind: str, event_id: str, body: bytes, signing_secrets: Sequence[str]
    ) -> tuple[int, timedelta | None]:
        target = await self._addresses.target(url, kind=kind)
        headers = signature_headers(event_id=event_id, at=self._clock(), body=body, signing_secrets=signing_secrets)
        response = await self._client.send("POST", target, content=body, headers=headers)
        try:
            return response.status_code, _retry_after(response)
        finally:
            await response.aclose()


def _retry_after(response: httpx.Response) -> timedelta | None:
    """Of the two forms that the header may have, the seconds."""
    text = response.headers.get("retry-after", "")
    if not (text.isascii() and text.isdigit()):
        return None
    return min(timedelta(seconds=int(text[:9])), _LONGEST_RETRY_AFTER)


def _is_tls(failure: httpx.ConnectError) -> bool:
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
