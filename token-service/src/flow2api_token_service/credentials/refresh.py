"""Renews the bearer of a token: one refresh per token at a time, over all replicas."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from flow2api_common.clock import Clock
from flow2api_common.errors import FailedPrecondition, UpstreamRejected, UpstreamUnavailable
from flow2api_common.lifecycle import end_tasks
from flow2api_common.logs import get_logger
from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.credentials.proof import (
    SESSION_EXPIRED,
    Look,
    cause_of_look,
    look_at,
    store_grant,
    store_look,
)
from flow2api_token_service.credentials.refresh_pauses import FIRST_PAUSE, RefreshPauses, next_attempt
from flow2api_token_service.credentials.rotation import RotatedSecrets
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.health.events import Cause
from flow2api_token_service.health.rows import health_of, store_health
from flow2api_token_service.health.states import Outcome, after_outcome, disabled
from flow2api_token_service.leases.redis_lock import RedisLocks
from flow2api_token_service.proxies.router import ProxyRouter
from flow2api_token_service.secrets.vault import Vault
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.models import MAX_PROBLEM_LENGTH, TokenRow
from flow2api_upstream.failures import to_service_error
from flow2api_upstream.port import AccessGrant, FailureClass, Provider, Secret, UpstreamFailure
from flow2api_upstream.registry import ProviderRegistry

log = get_logger(__name__)

_ACTOR = "refresh"
# The holder prolongs it; this long the others wait for one that was killed.
_LOCK_LIFETIME = timedelta(seconds=10)
_ATTEMPTS_AFTER_OTHERS = 3
_LAST_FLIGHTS = timedelta(seconds=5)


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
        router: ProxyRouter,
        vault: Vault,
        locks: RedisLocks,
        rotated: RotatedSecrets,
        pauses: RefreshPauses,
        margin: timedelta,
        clock: Clock,
    ) -> None:
        self._store = store
        self._changes = changes
        self._registry = registry
        self._router = router
        self._vault = vault
        self._locks = locks
        self._rotated = rotated
        self._pauses = pauses
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

    def begin(self, token_id: int, *, newer_than: int) -> None:
        """Let a refresh begin without waiting for it; its failure is written down, and nobody's here."""
        self._join(token_id, newer_than)

    async def is_flying(self, token_id: int) -> bool:
        """Whether the token is being refreshed, by whatever replica. Raises DependencyUnavailable."""
        return token_id in self._flights or await self._locks.is_held(_lock(token_id))

    def _join(self, token_id: int, newer_than: int) -> asyncio.Task[Credential]:
        flight = self._flights.get(token_id)
        if flight is None:
            flight = asyncio.create_task(self._fly(token_id, newer_than), name=f"refresh-{token_id}")
            self._flights[token_id] = flight
            flight.add_done_callback(lambda done: self._land(token_id, done))
        return flight

    async def aclose(self) -> None:
        """Let the flights land, as what the upstream has answered must not be lost; then end those that still fly."""
        flights = list(self._flights.values())
        if flights:
            await asyncio.wait(flights, timeout=_LAST_FLIGHTS.total_seconds())
        await end_tasks(flights)

    def _land(self, token_id: int, flight: asyncio.Task[Credential]) -> None:
        del self._flights[token_id]
        if not flight.cancelled():
            flight.exception()  # Seen, also when every caller has gone away.

    async def _fly(self, token_id: int, newer_than: int) -> Credential:
        for _ in range(_ATTEMPTS_AFTER_OTHERS):
            async with self._locks.try_hold(_lock(token_id), _LOCK_LIFETIME, keep_alive=True) as is_mine:
                if is_mine:
                    return await self._refresh(token_id, newer_than)
            await self._locks.wait_until_free(_lock(token_id))
            credential = await self._store.read(token_id)
            if credential.version > newer_than:
                return credential
        raise UpstreamUnavailable("The access token could not be renewed.", retry_after=FIRST_PAUSE)

    async def _refresh(self, token_id: int, newer_than: int) -> Credential:
        old = await self._store.read(token_id)
        if old.version > newer_than:
            return old
        provider = self._registry.get(old.provider)
        if not provider.capabilities.refreshes:
            look = await look_at(provider, old, self._router)
            return await self._keep(old, provider, None, look)
        try:
            grant = await self._buy(provider, old)
        except UpstreamFailure as failure:
            return await self._refused(old, failure)
        # Some sessions still answer bearers that no longer work (docs/upstream/flow.md, section 2): prove it.
        look = await look_at(provider, replace(old, bearer=grant.bearer), self._router)
        return await self._keep(old, provider, grant, look)

    async def _buy(self, provider: Provider, old: Credential) -> AccessGrant:
        """Exchange the secret, and note a rotated one before anything else can happen. Raises UpstreamFailure."""
        rotated = await self._rotated.find(old)
        if rotated is not None:
            try:
                grant = await self._exchange(provider, old, rotated)
            except UpstreamFailure as failure:
                if failure.failure_class is not FailureClass.AUTH:
                    raise
                # The one before it normally goes on working (docs/upstream/flow.md, section 2).
                await self._rotated.forget(old.token_id)
            else:
                return await self._kept(old, grant, grant.rotated_secret or rotated)
        grant = await self._exchange(provider, old, old.secret)
        return await self._kept(old, grant, grant.rotated_secret)

    async def _exchange(self, provider: Provider, old: Credential, secret: Secret) -> AccessGrant:
        return await self._router.with_proxy(old, lambda over: provider.refresh(secret, proxy_url=over.proxy_url))

    async def _kept(self, old: Credential, grant: AccessGrant, rotated: Secret | None) -> AccessGrant:
        if rotated is None:
            return grant
        await self._rotated.keep(old, rotated)
        return replace(grant, rotated_secret=rotated)

    async def _keep(self, old: Credential, provider: Provider, grant: AccessGrant | None, look: Look) -> Credential:
        def change(row: TokenRow, now: datetime) -> bool:
            if row.credential_version != old.version:
                return False
            if grant is not None:
                store_grant(row, grant, vault=self._vault, margin=self._margin, now=now)
            store_look(row, look, provider=provider, now=now)
            return True

        token_id, cause = old.token_id, cause_of_look(_ACTOR, look)
        row = await self._changes.change(token_id, change, cause=cause, credits_are_fresh=look.seen is not None)
        credential = self._store.remember(row)
        if credential.version != old.version + (grant is not None):
            # The secret was changed meanwhile, or somebody else has refreshed it: this was bought with the old one.
            log.info("token_refresh_overtaken", token_id=token_id)
            return credential
        if grant is not None:
            await self._pauses.end(token_id)
            if grant.rotated_secret is not None:
                await self._rotated.forget(token_id)
        if look.failure is None:
            log.info("token_refreshed", token_id=token_id, provider=row.provider, version=row.credential_version)
            return credential
        if look.failure.failure_class is FailureClass.AUTH:
            raise _dead(row.state_reason)
        if look.failure.failure_class is FailureClass.VERIFICATION:
            raise to_service_error(look.failure, paid=False)
        if grant is None:
            raise _unavailable(look.failure)
        log.info("token_refreshed_unproved", token_id=token_id, failure_class=look.failure.failure_class)
        return credential

    async def _refused(self, old: Credential, failure: UpstreamFailure) -> Credential:
        """Write down that a refresh failed and raise what that means; or give a credential that is newer than this."""
        token_id, is_stale = old.token_id, False
        proves_nothing = failure.failure_class not in {FailureClass.AUTH, FailureClass.VERIFICATION}
        pause = await self._pauses.next(token_id, failure.retry_after) if proves_nothing else timedelta(0)

        def change(row: TokenRow, now: datetime) -> bool:
            nonlocal is_stale
            is_stale = row.credential_version != old.version
            if is_stale:
                return False
            if failure.failure_class is FailureClass.AUTH:
                store_health(row, disabled(health_of(row), reason=failure.reason or SESSION_EXPIRED, now=now))
            elif failure.failure_class is FailureClass.VERIFICATION:
                outcome = Outcome.VERIFICATION_REQUIRED
                store_health(row, after_outcome(health_of(row), outcome, upstream_model="", retry_after=None, now=now))
            else:
                row.refresh_time = next_attempt(row.bearer_expire_time, pause=pause, now=now)
                row.refresh_problem = (failure.reason or failure.failure_class)[:MAX_PROBLEM_LENGTH].lower()
            return True

        cause = Cause(actor=_ACTOR, cause=failure.failure_class, detail=failure.reason or "")
        row = await self._changes.change(token_id, change, cause=cause)
        credential = self._store.remember(row)
        if is_stale:
            return credential
        if failure.failure_class is FailureClass.AUTH:
            raise _dead(row.state_reason) from failure
        log.warning(
            "token_refresh_failed",
            token_id=token_id,
            failure_class=failure.failure_class,
            upstream_reason=failure.reason,
            advice=failure.advice,
        )
        if failure.failure_class is FailureClass.VERIFICATION:
            message = str(to_service_error(failure, paid=False))
            raise UpstreamRejected(message, reason="UPSTREAM_VERIFICATION_REQUIRED") from failure
        raise _unavailable(failure) from failure


def _dead(reason: str) -> SessionDead:
    return SessionDead("The upstream no longer accepts the secret of this token.", metadata={"state_reason": reason})


def _unavailable(failure: UpstreamFailure) -> UpstreamUnavailable:
    return UpstreamUnavailable(failure.message, retry_after=failure.retry_after or FIRST_PAUSE)


def _lock(token_id: int) -> str:
    return f"refresh:{token_id}"
