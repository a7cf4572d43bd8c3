"""Who a receiver is: the rules for its address, and what it is signed with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from flow2api_common.errors import InvalidArgument
from flow2api_common.outbound.targets import RefusedTarget, Resolver, Target, checked_target, system_resolver
from flow2api_common.sealing import Seal
from flow2api_generation_service.webhooks.models import ReceiverKind, WebhookDeliveryRow, WebhookEndpointRow
from flow2api_generation_service.webhooks.settings import WebhookSettings
from flow2api_generation_service.webhooks.signing import signing_secret_of_key

MAX_URL: Final = 2048
SECRET_PURPOSE: Final = "webhook"  # noqa: S105 - the name of a purpose
SEAL_OWNER: Final = "generation-service"

_RESOLVE_TIMEOUT: Final = timedelta(seconds=5)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def receiver_of(url: str) -> str:
    """``scheme://host:port`` of a URL that was accepted: what is kept from starving others as one."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)}"


class ReceiverAddresses:
    """The address rules: those of remote pictures, but for the operator's own receiver, which may be anywhere."""

    def __init__(self, settings: WebhookSettings, *, resolve: Resolver = system_resolver) -> None:
        self._settings = settings
        self._resolve = resolve

    async def check(self, url: str, *, field: str) -> None:
        """Refuse an address that a client may not name. Raises InvalidArgument naming ``field``."""
        if len(url) > MAX_URL:
            raise InvalidArgument.of(field, f"The URL is longer than {MAX_URL} characters.")
        try:
            await self.target(url, kind=ReceiverKind.JOB)
        except RefusedTarget as refusal:
            raise InvalidArgument.of(field, str(refusal)) from refusal

    async def target(self, url: str, *, kind: str) -> Target:
        """Where a delivery connects to; the name is resolved and checked anew for each. Raises RefusedTarget."""
        allowed = set(self._settings.allow_private_hosts)
        if kind == ReceiverKind.DEFAULT:
            parts = urlsplit(url)
            host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            allowed.add(f"{host}:{parts.port or _DEFAULT_PORTS[parts.scheme]}")
        try:
            async with asyncio.timeout(_RESOLVE_TIMEOUT.total_seconds()):
                return await checked_target(
                    url,
                    resolve=self._resolve,
                    allowed_private=allowed,
                    allow_http=self._settings.allow_http_webhooks,
                )
        except TimeoutError as exc:
            raise RefusedTarget("The host of the URL could not be resolved.") from exc


@dataclass(frozen=True, slots=True)
class SigningSecrets:
    """Finds what a delivery is signed with; never logged."""

    settings: WebhookSettings
    seal: Seal

    def of(self, delivery: WebhookDeliveryRow, endpoint: WebhookEndpointRow | None, *, now: datetime) -> list[str]:
        """The secrets, the current one first. Raises SealBroken."""
        if endpoint is not None:
            return self.of_endpoint(endpoint, now=now)
        if delivery.sealed_secret is not None:
            return [self.seal.open(delivery.sealed_secret, purpose=SECRET_PURPOSE)]
        return [self.of_installation() or self.of_api_key(delivery.api_key_id)]

    def of_endpoint(self, endpoint: WebhookEndpointRow, *, now: datetime) -> list[str]:
        """Those of a registered receiver: two while its old one is kept. Raises SealBroken."""
        found = [self.seal.open(endpoint.sealed_secret, purpose=SECRET_PURPOSE)]
        is_old_kept = endpoint.old_secret_until is not None and endpoint.old_secret_until > now
        if endpoint.sealed_old_secret is not None and is_old_kept:
            found.append(self.seal.open(endpoint.sealed_old_secret, purpose=SECRET_PURPOSE))
        return found

    def of_installation(self) -> str:
        """The operator's; empty for none."""
        return self.settings.webhook_secret.get_secret_value() if self.settings.webhook_secret is not None else ""

    def of_api_key(self, api_key_id: str) -> str:
        """The one of an API key for the URLs of its jobs."""
        return signing_secret_of_key(self.settings.secret_key, api_key_id)
