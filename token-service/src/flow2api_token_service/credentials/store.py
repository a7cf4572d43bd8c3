"""Opens the secrets of tokens, and keeps the opened ones of the tokens in use in memory."""

from __future__ import annotations

from collections import OrderedDict

from flow2api_common.database import Database
from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.projects.rows import active_project_ids
from flow2api_token_service.secrets.vault import BEARER, PROXY, SECRET, Vault
from flow2api_token_service.tokens.models import TokenRow
from flow2api_token_service.tokens.repository import TokenRepository
from flow2api_upstream.port import AccountTier, Secret
from flow2api_upstream.registry import ProviderRegistry

_CAPACITY = 10_000


class CredentialStore:
    """Credentials by token, without asking SQL again while the token's revision is the same."""

    def __init__(self, *, database: Database, vault: Vault, registry: ProviderRegistry) -> None:
        self._database = database
        self._vault = vault
        self._registry = registry
        self._opened: OrderedDict[int, Credential] = OrderedDict()

    async def at_revision(self, token_id: int, revision: int) -> Credential:
        """The credential of a token that is known to be at this revision or a newer one. Raises NotFound."""
        opened = self._opened.get(token_id)
        if opened is not None and opened.revision >= revision:
            self._opened.move_to_end(token_id)
            return opened
        return await self.read(token_id)

    async def read(self, token_id: int) -> Credential:
        """The credential as SQL has it now. Raises NotFound, and SealBroken with a wrong secret key."""
        async with self._database.transaction(read_only=True) as session:
            row = await TokenRepository(session).get(token_id)
        return self.remember(row)

    def remember(self, row: TokenRow) -> Credential:
        """Open a row and keep the outcome."""
        credential = self.open(row)
        self._opened[row.id] = credential
        self._opened.move_to_end(row.id)
        if len(self._opened) > _CAPACITY:
            self._opened.popitem(last=False)
        return credential

    def forget(self, token_id: int) -> None:
        """Drop what is kept of a token."""
        self._opened.pop(token_id, None)

    def open(self, row: TokenRow) -> Credential:
        """Open a row, with its projects."""
        capabilities = self._registry.get(row.provider).capabilities
        secret = self._vault.open(row.sealed_secret, purpose=SECRET)
        if capabilities.refreshes:
            bearer = self._vault.open(row.sealed_bearer, purpose=BEARER) if row.sealed_bearer else ""
        else:
            bearer = secret
        return Credential(
            token_id=row.id,
            provider=row.provider,
            secret=Secret(secret),
            bearer=bearer,
            expire_time=row.bearer_expire_time,
            refresh_time=row.refresh_time,
            version=row.credential_version,
            revision=row.revision,
            tier=AccountTier(row.tier),
            project_id=row.project_id or next(iter(active_project_ids(row)), ""),
            project_ids=active_project_ids(row),
            location=row.location,
            own_proxy_url=self._vault.open(row.sealed_proxy_url, purpose=PROXY) if row.sealed_proxy_url else "",
            kept_proxy_id=row.proxy_id or 0,
            # Projects belong to the session: only who has projects makes calls with the long-lived secret itself.
            session_token=secret if capabilities.has_projects else "",
        )
