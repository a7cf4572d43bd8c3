"""Renews the bearer of a token: one refresh per token at a time, over all replicas."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta

from flow2api_common.clock import Clock
from flow2api_common.errors import FailedPrecondition, UpstreamRejected, UpstreamUnavailable
from flow2api_common.logs import get_logger
from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.credentials.proof import (
    SESSION_EXPIRED,
    Look,
    cause_of_look,
    look_at,
    store_grant,
    store_look,
    with_bearer,
)
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.health.events import Cause
from flow2api_token_service.health.rows import health_of, store_health
from flow2api_token_service.health.states import Outcome, after_outcome, disabled
from flow2api_token_service.leases.redis_lock import RedisLocks
from flow2api_token_service.secrets.vault import Vault
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.models import TokenRow
from flow2api_upstream.failures import to_service_error
from flow2api_upstream.port import AccessGrant, FailureClass, Provider, UpstreamFailure
from flow2api_upstream.registry import ProviderRegistry

log = get_logger(__name__)

_ACTOR = "refresh"
_LOCK_LIFETIME = timedelta(seconds=90)
_ATTEMPTS_AFTER_OTHERS = 3
_RETRY_PAUSE = timedelta(minutes=1)


class SessionDead(FailedPrecondition):
    """The upstream no longer takes the long-lived secret; the token is disabled."""

    default_reason = "SESSION_DEAD"


class Refresher:
    """Buys bearers. Callers in this process share one flight per token; replicas share it by a lock in Redis."""

    def __init__(
        self,
        *,
        store: CredentialStore,
        changes: TokenChanges,
        registry: ProviderRegistry,
        vault: Vault,
        locks: RedisLocks,
        margin: timedelta,
        clock: Clock,
    ) -> None:
        self._store = store
        self._changes = changes
        self._registry = registry
        self._vault = vault
        self._locks = locks
        self._margin = margin
        self._clock = clock
        self._flights: dict[int, asyncio.Task[Credential]] = {}

    async def refresh(self, token_id: int, *, newer_than: int) -> Credential:
        """A credential with a version above ``newer_than``: somebody else's fresh one, or a new one.

        Where the provider has no refresh, the secret is proved instead and the version stays. Raises NotFound,
        SessionDead (the token is disabled now), UpstreamUnavailable (the token is as it was), UpstreamRejected (the
        upstream wants a human check). A caller that goes away does not take the flight from the others.
        """
        credential = await asyncio.shield(self._join(token_id, newer_than))
        if credential.version > newer_than or not self._registry.get(credential.provider).capabilities.refreshes:
            return credential
        # The flight was begun for somebody who had an older bearer than this caller.
        return await asyncio.shield(self._join(token_id, newer_than))

    def _join(self, token_id: int, newer_than: int) -> asyncio.Task[Credential]:
        flight = self._flights.get(token_id)
        if flight is None:
            flight = asyncio.create_task(self._fly(token_id, newer_than), name=f"refresh-{token_id}")
            self._flights[token_id] = flight
            flight.add_done_callback(lambda done: self._land(token_id, done))
        return flight

    async def aclose(self) -> None:
        """End the flights."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _land(self, token_id: int, flight: asyncio.Task[Credential]) -> None:
        del self._flights[token_id]
        if not flight.cancelled():
            flight.exception()  # Seen, also when every caller has gone away.

    async def _fly(self, token_id: int, newer_than: int) -> Credential:
        for _ in range(_ATTEMPTS_AFTER_OTHERS):
            async with self._locks.try_hold(f"refresh:{token_id}", _LOCK_LIFETIME) as is_mine:
                if is_mine:
                    return await self._refresh(token_id, newer_than)
            await self._locks.wait_until_free(f"refresh:{token_id}")
            credential = await self._store.read(token_id)
            if credential.version > newer_than:
                return credential
        raise UpstreamUnavailable("The access token could not be renewed.", retry_after=_RETRY_PAUSE)

    async def _refresh(self, token_id: int, newer_than: int) -> Credential:
        old = await self._store.read(token_id)
        if old.version > newer_than:
            return old
        provider = self._registry.get(old.provider)
        if not provider.capabilities.refreshes:
            look = await look_at(provider, old.account())
            return await self._keep(token_id, provider, None, look)
        try:
            grant = await provider.refresh(old.secret, proxy_url=old.proxy_url)
        except UpstreamFailure as failure:
            raise await self._refused(token_id, failure) from failure
        # Some sessions still answer bearers that no longer work (docs/upstream/flow.md, section 2): prove it.
        look = await look_at(provider, with_bearer(old.account(), grant.bearer))
        return await self._keep(token_id, provider, grant, look)

    async def _keep(self, token_id: int, provider: Provider, grant: AccessGrant | None, look: Look) -> Credential:
        def change(row: TokenRow, now: datetime) -> None:
            if grant is not None:
                store_grant(row, grant, vault=self._vault, margin=self._margin, now=now)
            store_look(row, look, provider=provider, now=now)

        cause = cause_of_look(_ACTOR, look)
        row = await self._changes.change(token_id, change, cause=cause, credits_are_fresh=look.seen is not None)
        credential = self._store.remember(row)
        if look.failure is None:
            log.info("token_refreshed", token_id=token_id, provider=row.provider, version=row.credential_version)
            return credential
        if look.failure.failure_class is FailureClass.AUTH:
            raise self._dead(token_id, row.state_reason)
        if look.failure.failure_class is FailureClass.VERIFICATION:
            raise to_service_error(look.failure, paid=False)
        if grant is None:
            raise _unavailable(look.failure)
        log.info("token_refreshed_unproved", token_id=token_id, failure_class=look.failure.failure_class)
        return credential

    async def _refused(
        self, token_id: int, failure: UpstreamFailure
    ) -> SessionDead | UpstreamUnavailable | UpstreamRejected:
        """Write down that a refresh failed; gives the error to raise."""

        def change(row: TokenRow, now: datetime) -> None:
            if failure.failure_class is FailureClass.AUTH:
                store_health(row, disabled(health_of(row), reason=failure.reason or SESSION_EXPIRED, now=now))
            elif failure.failure_class is FailureClass.VERIFICATION:
                outcome = Outcome.VERIFICATION_REQUIRED
                store_health(row, after_outcome(health_of(row), outcome, upstream_model="", retry_after=None, now=now))
            else:
                pause = _RETRY_PAUSE * (1 + random.random())  # noqa: S311 - it spreads load, it hides nothing
                row.refresh_time = now + max(pause, failure.retry_after or timedelta(0))

        cause = Cause(actor=_ACTOR, cause=failure.failure_class, detail=failure.reason or "")
        row = await self._changes.change(token_id, change, cause=cause)
        self._store.remember(row)
        if failure.failure_class is FailureClass.AUTH:
            return self._dead(token_id, row.state_reason)
        log.warning("token_refresh_failed", token_id=token_id, failure_class=failure.failure_class)
        if failure.failure_class is FailureClass.VERIFICATION:
            return UpstreamRejected(str(to_service_error(failure, paid=False)), reason="UPSTREAM_VERIFICATION_REQUIRED")
        return _unavailable(failure)

    def _dead(self, token_id: int, reason: str) -> SessionDead:
        log.warning("token_disabled", token_id=token_id, reason=reason)
        return SessionDead(
            "The upstream no longer accepts the secret of this token.", metadata={"state_reason": reason}
        )


def _unavailable(failure: UpstreamFailure) -> UpstreamUnavailable:
    return UpstreamUnavailable(failure.message, retry_after=failure.retry_after or _RETRY_PAUSE)
