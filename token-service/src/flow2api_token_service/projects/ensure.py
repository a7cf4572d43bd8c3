"""Makes upstream projects where tokens lack them: one token at a time over all replicas."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta

from flow2api_common.clock import Clock
from flow2api_common.errors import UpstreamUnavailable
from flow2api_common.logs import get_logger
from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.health.events import Cause
from flow2api_token_service.leases.redis_lock import RedisLocks
from flow2api_token_service.projects.rows import forget_oldest, leave, project_of, work_in
from flow2api_token_service.proxies.router import ProxyRouter
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.models import TokenRow
from flow2api_upstream.failures import to_service_error
from flow2api_upstream.port import Project, UpstreamFailure
from flow2api_upstream.registry import ProviderRegistry

log = get_logger(__name__)

_CAUSE = Cause(actor="projects", cause="project")
_LOCK_LIFETIME = timedelta(seconds=10)
_ATTEMPTS_AFTER_OTHERS = 3
# After a project could not be made, it is not tried again at once, by whomever it is wanted.
_PAUSE = timedelta(minutes=1)
_REMEMBERED_FAILURES = 10_000
# The second project that is gone within this time is not replaced: something else is wrong, and each would stay behind.
_YOUNG = timedelta(minutes=10)


class ProjectKeeper:
    """Ensures the projects of tokens. A process that is killed between the upstream's answer and the commit leaves an
    empty project behind upstream, which nobody uses."""

    def __init__(
        self,
        *,
        store: CredentialStore,
        changes: TokenChanges,
        registry: ProviderRegistry,
        router: ProxyRouter,
        locks: RedisLocks,
        projects_per_token: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._changes = changes
        self._registry = registry
        self._router = router
        self._locks = locks
        self._wanted = projects_per_token
        self._clock = clock
        self._rests_until: OrderedDict[int, datetime] = OrderedDict()

    async def with_project(self, credential: Credential) -> Credential:
        """The credential with a project, where its provider has projects; no query in the normal case.

        Raises what the upstream's failure to make one means.
        """
        if credential.project_id or not self._registry.get(credential.provider).capabilities.has_projects:
            return credential
        return await self._filled(credential.token_id, wanted=1)

    async def fill(self, token_id: int) -> None:
        """Give a token as many active projects as the settings say. Raises what the upstream's failure means."""
        await self._filled(token_id, wanted=self._wanted)

    async def leave_gone(self, token_id: int, project_id: str) -> None:
        """Have a project not used any more that the upstream does not know. Raises NotFound, UpstreamUnavailable."""
        is_left, is_young = False, False

        def change(row: TokenRow, now: datetime) -> bool:
            nonlocal is_left, is_young
            project = project_of(row, project_id)
            if project is None or not project.is_active:
                # Another one has told before.
                return False
            lost = [each for each in row.projects if each is project or not each.is_active]
            is_young = project.created_at > now - _YOUNG and sum(it.created_at > now - _YOUNG for it in lost) > 1
            if is_young:
                return False
            leave(row, project)
            is_left = True
            return True

        row = await self._changes.change(token_id, change, cause=_CAUSE)
        self._store.remember(row)
        if is_young:
            log.warning("young_project_gone", token_id=token_id, project_id=project_id)
            raise UpstreamUnavailable("The upstream does not know a project that was made lately.", retry_after=_PAUSE)
        if is_left:
            log.warning("project_gone", token_id=token_id, project_id=project_id)

    async def create_upstream(self, credential: Credential, title: str) -> Project:
        """Make a project. Raises what the upstream's failure means, NoProxy."""
        provider = self._registry.get(credential.provider)
        try:
            return await self._router.with_proxy(
                credential, lambda routed: provider.create_project(routed.account(), title)
            )
        except UpstreamFailure as failure:
            log.warning("project_not_made", token_id=credential.token_id, failure_class=failure.failure_class)
            raise to_service_error(failure, paid=False) from failure

    async def _filled(self, token_id: int, *, wanted: int) -> Credential:
        rests_until = self._rests_until.get(token_id)
        if rests_until is not None and (left := rests_until - self._clock()) > timedelta(0):
            raise UpstreamUnavailable("The upstream made no project lately.", retry_after=left)
        for _ in range(_ATTEMPTS_AFTER_OTHERS):
            async with self._locks.try_hold(f"projects:{token_id}", _LOCK_LIFETIME, keep_alive=True) as is_mine:
                if is_mine:
                    return await self._fill_alone(token_id, wanted)
            await self._locks.wait_until_free(f"projects:{token_id}")
            credential = await self._store.read(token_id)
            if len(credential.project_ids) >= wanted:
                return credential
        raise UpstreamUnavailable("The upstream has made no project.", retry_after=_PAUSE)

    async def _fill_alone(self, token_id: int, wanted: int) -> Credential:
        credential = await self._store.read(token_id)
        while len(credential.project_ids) < wanted:
            try:
                project = await self.create_upstream(credential, title_of(self._clock()))
            except Exception:
                self._rest(token_id)
                raise
            credential = await self._keep(token_id, project)
        return credential

    async def _keep(self, token_id: int, project: Project) -> Credential:
        def change(row: TokenRow, now: datetime) -> None:
            if row.project_id and project_of(row, row.project_id) is None:
                work_in(row, row.project_id, row.project_name, now)
            work_in(row, project.project_id, project.title, now)
            forget_oldest(row)

        row = await self._changes.change(token_id, change, cause=_CAUSE)
        log.info("project_made", token_id=token_id, project_id=project.project_id)
        return self._store.remember(row)

    def _rest(self, token_id: int) -> None:
        self._rests_until[token_id] = self._clock() + _PAUSE
        self._rests_until.move_to_end(token_id)
        if len(self._rests_until) > _REMEMBERED_FAILURES:
            self._rests_until.popitem(last=False)


def title_of(now: datetime) -> str:
    """A title for a project that nobody has named."""
    return f"Flow2API {now:%Y-%m-%d %H:%M}"
