"""Adding a token: it is proved upstream before it is stored."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Conflict, Flow2APIError, InvalidArgument, UpstreamUnavailable
from flow2api_token_service.credentials.proof import fingerprint, store_grant, store_secret
from flow2api_token_service.health.events import Cause
from flow2api_token_service.health.rows import store_health
from flow2api_token_service.health.states import Health, TokenState
from flow2api_token_service.leases.records import OwnLimit
from flow2api_token_service.projects.ensure import title_of
from flow2api_token_service.proxies.address import ProxyAddress
from flow2api_token_service.proxies.router import ProxyRouter, Route
from flow2api_token_service.secrets.vault import PROXY, Vault
from flow2api_token_service.settings import PoolSettings
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.models import TokenRow, TokenStatsRow
from flow2api_token_service.tokens.own_limits import written_limits
from flow2api_token_service.tokens.repository import SECRET_IN_POOL, TokenRepository
from flow2api_upstream.failures import to_service_error
from flow2api_upstream.port import (
    AccessGrant,
    Account,
    AccountState,
    AccountTier,
    FailureClass,
    Project,
    Provider,
    Secret,
    UpstreamFailure,
)
from flow2api_upstream.registry import ProviderRegistry

DEFAULT_LOCATION = "global"
"""Where Google's own SDK works too when it is told no location."""

_NO_TOKEN_YET = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """What an administrator says about a token to add. None means the default."""

    provider: str
    secret: Secret = field(repr=False)
    project_id: str = ""
    project_name: str = ""
    location: str = ""
    remark: str = ""
    image_enabled: bool = True
    video_enabled: bool = True
    image_concurrency: int | None = None
    video_concurrency: int | None = None
    model_limits: tuple[OwnLimit, ...] = ()
    proxy: ProxyAddress | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """What the upstream has shown about a secret."""

    grant: AccessGrant
    state: AccountState
    project: Project


class TokenProver:
    """Proves secrets upstream."""

    async def prove(
        self, provider: Provider, secret: Secret, *, project: Project, proxy_url: str, location: str = ""
    ) -> Proof:
        """Exchange the secret, read tier and credits, and make a project where one is needed and none is given.

        A project that the credential itself names is taken where none is given. Raises UpstreamFailure; see
        `secret_refused`.
        """
        grant = await provider.refresh(secret, proxy_url=proxy_url)
        current = grant.rotated_secret or secret
        if grant.project_id and not project.project_id:
            project = Project(grant.project_id, grant.project_id)
        account = Account(
            token_id=_NO_TOKEN_YET,
            bearer=grant.bearer,
            session_token=current.value if provider.capabilities.has_projects else "",
            project_id=project.project_id,
            location=location,
            proxy_url=proxy_url,
        )
        state = await provider.probe(account)
        if provider.capabilities.has_projects and not project.project_id:
            project = await provider.create_project(account, project.title)
        return Proof(grant, state, project)


class TokenCreator:
    """The use case behind CreateToken."""

    def __init__(
        self,
        *,
        database: Database,
        changes: TokenChanges,
        registry: ProviderRegistry,
        prover: TokenProver,
        router: ProxyRouter,
        vault: Vault,
        settings: PoolSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._changes = changes
        self._registry = registry
        self._prover = prover
        self._router = router
        self._vault = vault
        self._settings = settings
        self._clock = clock

    async def create(self, new: NewToken, *, actor: str) -> TokenRow:
        """Prove and store. Raises InvalidArgument, Conflict, and what the upstream's failure means."""
        if new.provider not in self._registry.names:
            raise InvalidArgument.of("provider", f"There is no provider named {new.provider[:40]!r}.")
        provider = self._registry.get(new.provider)
        new = replace(new, location=location_of(provider, new.location))
        await self._refuse_known(new)
        now = self._clock()
        title = new.project_name or title_of(now)

        async def add(route: Route) -> TokenRow:
            proof = await self._prover.prove(
                provider,
                new.secret,
                project=Project(new.project_id, title),
                proxy_url=route.proxy_url,
                location=new.location,
            )
            if proof.project.project_id != new.project_id:
                await self._refuse_known(replace(new, project_id=proof.project.project_id))
            row = self._row(new, provider, proof, self._clock())
            row.proxy_id = self._router.kept(route)
            return await self._changes.add(row, cause=Cause(actor=actor, cause="create"))

        try:
            return await self._router.with_new_proxy(new.proxy.url if new.proxy else "", add)
        except UpstreamFailure as failure:
            raise secret_refused(failure) from failure

    async def _refuse_known(self, new: NewToken) -> None:
        """Say no before the upstream is asked; the unique constraint says it again in a race."""
        known = fingerprint(
            new.provider, new.secret.value, project_id=new.project_id, location=new.location, vault=self._vault
        )
        async with self._database.transaction(read_only=True) as session:
            token_id = await TokenRepository(session).find_by_fingerprint(new.provider, known)
        if token_id is not None:
            raise Conflict(SECRET_IN_POOL, reason="TOKEN_EXISTS", metadata={"token_id": str(token_id)})

    def _row(self, new: NewToken, provider: Provider, proof: Proof, now: datetime) -> TokenRow:
        image, video = new.image_concurrency, new.video_concurrency
        row = TokenRow(
            provider=new.provider,
            credential_version=0,
            location=new.location,
            email="",
            name="",
            remark=new.remark,
            tier=int(proof.state.tier),
            credits=proof.state.credits,
            credits_read_at=now,
            project_id=proof.project.project_id,
            project_name=proof.project.title if proof.project.project_id else "",
            image_enabled=new.image_enabled,
            video_enabled=new.video_enabled,
            image_concurrency=self._settings.default_image_concurrency if image is None else image,
            video_concurrency=self._settings.default_video_concurrency if video is None else video,
            model_limits=written_limits(new.model_limits),
            created_at=now,
            updated_at=now,
            revision=1,
            use_count=0,
            stats=TokenStatsRow(consecutive_error_count=0),
            rests=[],
        )
        store_secret(row, new.secret.value, vault=self._vault)
        store_own_proxy(row, new.proxy, vault=self._vault)
        store_proof(row, proof, provider=provider, vault=self._vault, settings=self._settings, now=now)
        store_health(row, Health(since=now, state=TokenState.ACTIVE))
        return row


def store_proof(
    row: TokenRow, proof: Proof, *, provider: Provider, vault: Vault, settings: PoolSettings, now: datetime
) -> None:
    """Write what a proof has shown about the secret that the row holds now."""
    if provider.capabilities.refreshes:
        store_grant(row, proof.grant, vault=vault, margin=settings.refresh_margin, now=now)
    else:
        row.credential_version += 1
        row.email = proof.grant.email or row.email
        row.name = proof.grant.name or row.name
    row.tier = int(AccountTier(proof.state.tier))
    row.credits = proof.state.credits
    row.credits_read_at = now


def store_own_proxy(row: TokenRow, proxy: ProxyAddress | None, *, vault: Vault) -> None:
    """Write the proxy of a token alone; with one it keeps to no other."""
    row.sealed_proxy_url = None if proxy is None else vault.seal(proxy.url, purpose=PROXY)
    row.masked_proxy = "" if proxy is None else proxy.shown
    if proxy is not None:
        row.proxy_id = None


def location_of(provider: Provider, location: str) -> str:
    """Where a token is to work. Raises InvalidArgument where its provider has no locations."""
    if provider.capabilities.has_locations:
        return location or DEFAULT_LOCATION
    if location:
        raise InvalidArgument.of("location", f"Tokens of {provider.name} have no location.")
    return ""


def secret_refused(failure: UpstreamFailure) -> Flow2APIError:
    """What the failure to prove a secret means: InvalidArgument when the upstream refuses it or what it stands for.

    The message tells an administrator what to do, where that is known.
    """
    reason = failure.reason or "refused"
    is_refused = failure.failure_class in {FailureClass.AUTH, FailureClass.FORBIDDEN, FailureClass.CREDITS}
    if failure.failure_class is FailureClass.AUTH or (is_refused and failure.advice):
        message = failure.advice or "The upstream does not accept this secret"
        return InvalidArgument.of("secret", f"{message.rstrip('.')} ({reason}).", reason="SECRET_REFUSED")
    if failure.failure_class in {FailureClass.UPSTREAM, FailureClass.NETWORK} and failure.advice:
        return UpstreamUnavailable(f"{failure.advice.rstrip('.')} ({reason}).", retry_after=failure.retry_after)
    return to_service_error(failure, paid=False)
