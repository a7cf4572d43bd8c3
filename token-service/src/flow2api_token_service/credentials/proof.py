"""Proving a credential upstream: what was bought, what was seen, and how both are written into a row."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.health.events import Cause
from flow2api_token_service.health.rows import health_of, store_health
from flow2api_token_service.health.states import (
    Outcome,
    UpstreamFacts,
    after_credits_seen,
    after_outcome,
    disabled,
)
from flow2api_token_service.proxies.router import NoProxy, ProxyRouter
from flow2api_token_service.secrets.vault import BEARER, SECRET, Vault, masked
from flow2api_token_service.tokens.models import TokenRow
from flow2api_upstream.advice import final_reason
from flow2api_upstream.port import AccessGrant, AccountState, FailureClass, Provider, UpstreamFailure

SESSION_EXPIRED = "st_expired"
SECRET_REFUSED = "secret_refused"  # noqa: S105 - a reason

# Refreshes of bearers that end together spread over this share of the time before their end: with bearers of an hour
# over seven and a half minutes, and on time before `credential.SOON`.
_SPREAD = 0.5
_SHOWN_OF_NAME = 8


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


def dead_reason(provider: Provider, failure: UpstreamFailure) -> str:
    """Why a token is dead whose fresh bearer is refused: the upstream's own word where it is known what to do."""
    capabilities = provider.capabilities
    usual = SESSION_EXPIRED if capabilities.refreshes and not capabilities.has_locations else SECRET_REFUSED
    return final_reason(provider.name, failure.reason) or usual


def store_grant(row: TokenRow, grant: AccessGrant, *, vault: Vault, margin: timedelta, now: datetime) -> None:
    """Write what a refresh bought. A secret that the upstream has rotated replaces the old one."""
    row.sealed_bearer = vault.seal(grant.bearer, purpose=BEARER)
    row.bearer_expire_time = grant.expire_time
    row.refresh_time = refresh_time(grant.expire_time, margin=margin, now=now)
    row.credential_version += 1
    row.refresh_problem = ""
    row.email = grant.email or row.email
    row.name = grant.name or row.name
    if grant.rotated_secret is not None:
        # The fingerprint of the secret as it was given stays beside the new one: somebody may give either again.
        row.rotated_fingerprint = fingerprint_of(row, grant.rotated_secret.value, vault=vault)
        row.sealed_secret = vault.seal(grant.rotated_secret.value, purpose=SECRET)
        row.masked_secret = shown_secret(grant.rotated_secret.value)


def store_secret(row: TokenRow, secret: str, *, vault: Vault) -> None:
    """Write a long-lived secret of the row's project and location."""
    row.sealed_secret = vault.seal(secret, purpose=SECRET)
    row.secret_fingerprint = fingerprint_of(row, secret, vault=vault)
    row.rotated_fingerprint = None
    row.masked_secret = shown_secret(secret)


def fingerprint_of(row: TokenRow, secret: str, *, vault: Vault) -> str:
    """By which a secret is found again; one that works in several locations is another one in each of them."""
    return fingerprint(row.provider, secret, project_id=row.project_id, location=row.location, vault=vault)


def fingerprint(provider: str, secret: str, *, project_id: str, location: str, vault: Vault) -> str:
    """The same of what is no row yet."""
    purpose = f"{provider}:{location}:{project_id}" if location else provider
    return vault.fingerprint(secret, purpose=purpose)


def shown_secret(secret: str) -> str:
    """What people may see of a secret: its last characters, of a document those of the id of its key."""
    if not secret.startswith("{"):
        return masked(secret)
    try:
        document = json.loads(secret)
    except ValueError:
        return masked("")
    named = document.get("private_key_id") or document.get("client_id") or document.get("type")
    return f"…{named[-_SHOWN_OF_NAME:]}" if isinstance(named, str) else masked("")


def store_look(row: TokenRow, look: Look, *, provider: Provider, now: datetime) -> None:
    """Write what a look has shown. Only a refused bearer and a human check say something about the token's health."""
    health = health_of(row)
    if look.seen is not None:
        row.tier = int(look.seen.tier)
        row.credits = look.seen.credits
        row.credits_read_at = now
        health = after_credits_seen(health, credit_count=look.seen.credits, now=now)
    elif look.failure is not None and look.failure.failure_class is FailureClass.AUTH:
        health = disabled(health, reason=dead_reason(provider, look.failure), now=now)
    elif look.failure is not None and look.failure.failure_class is FailureClass.VERIFICATION:
        outcome = Outcome.VERIFICATION_REQUIRED
        health = after_outcome(health, outcome, upstream_model="", retry_after=None, now=now)
    elif look.failure is not None and final_reason(row.provider, look.failure.reason):
        facts = UpstreamFacts(final_reason=final_reason(row.provider, look.failure.reason))
        health = after_outcome(health, Outcome.FORBIDDEN, upstream_model="", retry_after=None, now=now, facts=facts)
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
