"""Hands out credentials whose bearer works: the fresh one that is known, or one that is renewed first."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from flow2api_common.clock import Clock
from flow2api_common.errors import UpstreamError, UpstreamUnavailable
from flow2api_common.logs import get_logger
from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.credentials.refresh import Refresher
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.projects.ensure import ProjectKeeper
from flow2api_token_service.projects.turns import ProjectTurns
from flow2api_token_service.proxies.router import ProxyRouter

log = get_logger(__name__)

_PATIENCE = timedelta(seconds=20)
"""How long a caller waits for a bearer; the refresh goes on without it. More than a killed holder keeps its lock."""


class CredentialProvider:
    """Credentials for leases and for GetCredential. Raises what `Refresher.refresh` raises, and NoProxy."""

    def __init__(
        self,
        *,
        store: CredentialStore,
        refresher: Refresher,
        router: ProxyRouter,
        projects: ProjectKeeper,
        turns: ProjectTurns,
        clock: Clock,
    ) -> None:
        self._store = store
        self._projects = projects
        self._turns = turns
        self._router = router
        self._refresher = refresher
        self._clock = clock

    async def for_lease(self, token_id: int, *, revision: int) -> Credential:
        """The credential of a token that was just chosen; no query in the normal case."""
        credential = await self._projects.with_project(await self._store.at_revision(token_id, revision))
        credential = await self._router.routed(credential, is_new_lease=True)
        return self._turns.next(await self._fresh(credential))

    async def current(self, token_id: int) -> Credential:
        """The credential as it is now."""
        credential = await self._projects.with_project(await self._store.read(token_id))
        return await self._fresh(await self._router.routed(credential))

    async def after_rejection(self, token_id: int, *, rejected_version: int) -> Credential:
        """A credential that is newer than the one whose bearer the upstream has just refused."""
        credential = await self._refresher.refresh(token_id, newer_than=rejected_version)
        return await self._router.routed(credential)

    async def _fresh(self, credential: Credential) -> Credential:
        now = self._clock()
        if not credential.is_due(now):
            return credential
        if credential.is_usable(now):
            # Nobody waits for a refresh while there is something to work with.
            self._refresher.begin(credential.token_id, newer_than=credential.version)
            return credential
        if credential.rests_until(now) is not None:
            # What is remembered here may be old: somebody else may have had more luck since.
            credential = await self._router.routed(await self._store.read(credential.token_id))
            rests_until = credential.rests_until(now)
            if rests_until is not None:
                message = "The access token could not be renewed lately."
                raise UpstreamUnavailable(message, retry_after=rests_until - now)
        try:
            return await self._refresh(credential)
        except UpstreamError:
            # A failure to renew says nothing against a bearer that has some life left.
            if credential.is_valid(now):
                log.warning("old_bearer_used", token_id=credential.token_id)
                return credential
            raise

    async def _refresh(self, credential: Credential) -> Credential:
        try:
            async with asyncio.timeout(_PATIENCE.total_seconds()):
                fresh = await self._refresher.refresh(credential.token_id, newer_than=credential.version)
        except TimeoutError as exc:
            raise UpstreamUnavailable("The access token could not be renewed in time.") from exc
        return await self._router.routed(fresh)
