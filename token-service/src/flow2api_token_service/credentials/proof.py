"""Proving a credential upstream: what was bought, what was seen, and how both are written into a row."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.health.events import Cause
from flow2api_token_service.health.rows import health_of, store_health
from flow2api_token_service.health.states import Outcome, after_credits_seen, after_outcome, disabled
from flow2api_token_service.proxies.router import NoProxy, ProxyRouter
from flow2api_token_service.secrets.vault import BEARER, SECRET, Vault, masked
from flow2api_token_service.tokens.models import TokenRow
from flow2api_upstream.port import AccessGrant, AccountState, FailureClass, Provider, UpstreamFailure

SESSION_EXPIRED = "st_expired"
SECRET_REFUSED = "secret_refused"  # noqa: S105 - a reason

# Refreshes of bearers that end together spread over this share of the time before their end: with bearers of an hour
# over seven and a half minutes, and on time before `credential.SOON`.
_SPREAD = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """One look at an account: what was seen, or why nothing was."""

    seen: AccountState | None = None
    failure: UpstreamFailure | None = None


async def look_at(provider: Provider, credential: Credential, router: ProxyRouter) -> Look:
    """Prove the bearer with a call that costs nothing. Never raises what the upstream or a proxy does."""
    try:
        return Look(seen=await router.with_proxy(credential, lambda routed: provider.probe(routed.account())))
    except UpstreamFailure as failure:
        return Look(failure=failure)
    except NoProxy as error:
        return Look(failure=UpstreamFailure(FailureClass.PROXY, error.message, reason="no_proxy"))


def dead_reason(provider: Provider) -> str:
    """Why a token is dead whose fresh bearer is refused."""
    return SESSION_EXPIRED if provider.capabilities.refreshes else SECRET_REFUSED


def store_grant(row: TokenRow, grant: AccessGrant, *, vault: Vault, margin: timedelta, now: datetime) -> None:
    """Write what a refresh bought. A secret that the upstream has rotated replaces the old one."""
    row.sealed_bearer = vault.seal(grant.bearer, purpose=BEARER)
    row.bearer_expire_time = grant.expire_time
    row.refresh_time = refresh_time(grant.expire_time, margin=margin, now=now)
    row.credential_version += 1
    row.email = grant.email or row.email
    row.name = grant.name or row.name
    if grant.rotated_secret is not None:
        # The fingerprint of the secret as it was given stays beside the new one: somebody may give either again.
        row.rotated_fingerprint = vault.fingerprint(grant.rotated_secret.value, purpose=row.provider)
        row.sealed_secret = vault.seal(grant.rotated_secret.value, purpose=SECRET)
        row.masked_secret = masked(grant.rotated_secret.value)


def store_secret(row: TokenRow, secret: str, *, vault: Vault) -> None:
    """Write a long-lived secret."""
    row.sealed_secret = vault.seal(secret, purpose=SECRET)
    row.secret_fingerprint = vault.fingerprint(secret, purpose=row.provider)
    row.rotated_fingerprint = None
    row.masked_secret = masked(secret)


def store_look(row: TokenRow, look: Look, *, provider: Provider, now: datetime) -> None:
    """Write what a look has shown. Only a refused bearer and a human check say something about the token's health."""
    health = health_of(row)
    if look.seen is not None:
        row.tier = int(look.seen.tier)
        row.credits = look.seen.credits
        row.credits_read_at = now
        health = after_credits_seen(health, credit_count=look.seen.credits, now=now)
    elif look.failure is not None and look.failure.failure_class is FailureClass.AUTH:
        health = disabled(health, reason=dead_reason(provider), now=now)
    elif look.failure is not None and look.failure.failure_class is FailureClass.VERIFICATION:
        outcome = Outcome.VERIFICATION_REQUIRED
        health = after_outcome(health, outcome, upstream_model="", retry_after=None, now=now)
    else:
        # Asked in vain: they are asked again after the usual interval, not in the next round.
        row.credits_read_at = now
    store_health(row, health)


def cause_of_look(actor: str, look: Look) -> Cause:
    """A look as the cause of a change."""
    if look.failure is None:
        return Cause(actor=actor, cause="ok")
    return Cause(actor=actor, cause=look.failure.failure_class, detail=look.failure.reason or "")


def refresh_time(expire_time: datetime | None, *, margin: timedelta, now: datetime) -> datetime | None:
    """When the background renews a bearer: ``margin`` before its end, but never in the first three quarters of its
    life, and not at the same moment as others that end together."""
    if expire_time is None:
        return None
    lead = min(margin, (expire_time - now) / 4)
    return expire_time - lead * (1 - random.random() * _SPREAD)  # noqa: S311 - it spreads load, it hides nothing
