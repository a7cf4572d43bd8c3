"""Changing a token: its settings, its secret, its switch."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_token_service.credentials.proof import store_secret
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.health.events import Cause
from flow2api_token_service.health.rows import health_of, store_health
from flow2api_token_service.health.states import StateReason, disabled, enabled
from flow2api_token_service.proxies.address import ProxyAddress
from flow2api_token_service.proxies.router import ProxyRouter
from flow2api_token_service.secrets.vault import Vault
from flow2api_token_service.settings import PoolSettings
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.create import Proof, TokenProver, secret_refused, store_own_proxy, store_proof
from flow2api_token_service.tokens.models import TokenRow
from flow2api_token_service.tokens.repository import TokenRepository
from flow2api_upstream.port import Project, Secret, UpstreamFailure
from flow2api_upstream.registry import ProviderRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUpdate:
    """New values by name (`WRITABLE_FIELDS`), a new secret if there is one, and a new proxy of its own or none."""

    values: dict[str, str | int | bool]
    secret: Secret | None = field(default=None, repr=False)
    changes_proxy: bool = False
    proxy: ProxyAddress | None = None


WRITABLE_FIELDS = frozenset(
    {
        "remark",
        "project_id",
        "project_name",
        "image_enabled",
        "video_enabled",
        "image_concurrency",
        "video_concurrency",
        "model_limits",
    }
)


class TokenEditor:
    """The use cases behind UpdateToken, EnableToken, DisableToken and DeleteToken. All raise NotFound."""

    def __init__(
        self,
        *,
        database: Database,
        changes: TokenChanges,
        store: CredentialStore,
        registry: ProviderRegistry,
        prover: TokenProver,
        router: ProxyRouter,
        vault: Vault,
        settings: PoolSettings,
    ) -> None:
        self._database = database
        self._changes = changes
        self._store = store
        self._registry = registry
        self._prover = prover
        self._router = router
        self._vault = vault
        self._settings = settings

    async def update(self, token_id: int, update: TokenUpdate, *, actor: str) -> TokenRow:
        """Change fields; a new secret is proved first, and brings back a token that was set aside for the old one.

        Raises InvalidArgument, Conflict when the secret is in the pool, and what the upstream's failure means.
        """
        unknown = sorted(set(update.values) - WRITABLE_FIELDS)
        if unknown:
            raise InvalidArgument.of("update_mask", f"These fields cannot be changed: {', '.join(unknown)}.")
        async with self._database.transaction(read_only=True) as session:
            row = await TokenRepository(session).get(token_id)
        if self._registry.get(row.provider).capabilities.has_locations and "project_id" in update.values:
            raise InvalidArgument.of(
                "project_id", "This token is one project in one location: add another token for another project."
            )
        proof = None
        if update.secret is not None:
            proof = await self._prove(row, update, update.secret)

        def change(row: TokenRow, now: datetime) -> None:
            for name, value in update.values.items():
                setattr(row, name, value)
            if update.changes_proxy:
                store_own_proxy(row, update.proxy, vault=self._vault)
            if update.secret is not None and proof is not None:
                self._store_new_secret(row, update.secret, proof, now)

        cause = Cause(actor=actor, cause="update")
        return await self._changes.change(token_id, change, cause=cause, credits_are_fresh=proof is not None)

    async def enable(self, token_id: int, *, actor: str) -> TokenRow:
        """Bring a token back whatever its state, without errors, rests and pauses."""
        cause = Cause(actor=actor, cause="enable")
        return await self._changes.change(token_id, lambda row, now: store_health(row, enabled(now)), cause=cause)

    async def forget_absence(self, provider: str, upstream_model: str, *, actor: str) -> int:
        """Ask the locations that had not got a model for it again; gives how many there are."""
        async with self._database.transaction(read_only=True) as session:
            token_ids = await TokenRepository(session).ids_without_model(provider, upstream_model)

        def change(row: TokenRow, _now: datetime) -> bool:
            health = health_of(row)
            rest = health.rests.get(upstream_model)
            if rest is None or rest.reason != StateReason.MODEL_NOT_HERE:
                return False
            kept = {model: rest for model, rest in health.rests.items() if model != upstream_model}
            store_health(row, replace(health, rests=kept))
            return True

        for token_id in token_ids:
            # One that was removed meanwhile has nothing to forget.
            with suppress(NotFound):
                await self._changes.change(token_id, change, cause=Cause(actor=actor, cause="ask_again"))
        return len(token_ids)

    async def disable(self, token_id: int, *, reason: str, actor: str) -> TokenRow:
        """Switch a token off; what is in flight runs to its end."""

        def change(row: TokenRow, now: datetime) -> None:
            store_health(row, disabled(health_of(row), reason=reason or StateReason.ADMIN, now=now))

        return await self._changes.change(token_id, change, cause=Cause(actor=actor, cause="disable", detail=reason))

    async def delete(self, token_id: int) -> None:
        """Remove a token; what is in flight runs to its end."""
        await self._changes.delete(token_id)
        self._store.forget(token_id)

    async def _prove(self, row: TokenRow, update: TokenUpdate, secret: Secret) -> Proof:
        # A project belongs to the account; only one that the update names may belong to the new secret's account.
        project = Project(str(update.values.get("project_id", "")), row.project_name or "Flow2API")
        provider = self._registry.get(row.provider)
        if provider.capabilities.has_locations:
            project = Project(row.project_id, row.project_name)
        credential = self._store.open(row)
        if update.changes_proxy:
            credential = replace(credential, own_proxy_url=update.proxy.url if update.proxy else "")
        try:
            return await self._router.with_proxy(
                credential,
                lambda routed: self._prover.prove(
                    provider, secret, project=project, proxy_url=routed.proxy_url, location=row.location
                ),
            )
        except UpstreamFailure as failure:
            raise secret_refused(failure) from failure

    def _store_new_secret(self, row: TokenRow, secret: Secret, proof: Proof, now: datetime) -> None:
        provider = self._registry.get(row.provider)
        email = row.email
        store_secret(row, secret.value, vault=self._vault)
        store_proof(row, proof, provider=provider, vault=self._vault, settings=self._settings, now=now)
        if row.email != email or not email:
            # Another account knows nothing of the projects of the one before.
            for project in row.projects:
                project.is_active = False
        if proof.project.project_id:
            row.project_id, row.project_name = proof.project.project_id, proof.project.title
        if row.state_reason != StateReason.ADMIN:
            store_health(row, enabled(now))
