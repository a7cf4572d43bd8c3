"""Hands out credentials whose bearer works: the fresh one that is known, or one that is renewed first."""

from __future__ import annotations

from flow2api_common.clock import Clock
from flow2api_common.errors import UpstreamError
from flow2api_common.logs import get_logger
from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.credentials.refresh import Refresher
from flow2api_token_service.credentials.store import CredentialStore

log = get_logger(__name__)


class CredentialProvider:
    """Credentials for leases and for GetCredential. Raises what `Refresher.refresh` raises."""

    def __init__(self, *, store: CredentialStore, refresher: Refresher, clock: Clock) -> None:
        self._store = store
        self._refresher = refresher
        self._clock = clock

    async def for_lease(self, token_id: int, *, revision: int) -> Credential:
        """The credential of a token that was just chosen; no query in the normal case."""
        return await self._fresh(await self._store.at_revision(token_id, revision))

    async def current(self, token_id: int) -> Credential:
        """The credential as it is now."""
        return await self._fresh(await self._store.read(token_id))

    async def after_rejection(self, token_id: int, *, rejected_version: int) -> Credential:
        """A credential that is newer than the one whose bearer the upstream has just refused."""
        return await self._refresher.refresh(token_id, newer_than=rejected_version)

    async def _fresh(self, credential: Credential) -> Credential:
        now = self._clock()
        if not credential.is_due(now):
            return credential
        try:
            return await self._refresher.refresh(credential.token_id, newer_than=credential.version)
        except UpstreamError:
            # A failure to renew says nothing against a bearer that has some life left.
            if credential.is_valid(now):
                log.warning("old_bearer_used", token_id=credential.token_id)
                return credential
            raise
