"""What administrators do with the projects of a token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import CapacityError, Conflict, FailedPrecondition, NotFound
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.health.events import Cause
from flow2api_token_service.projects.ensure import ProjectKeeper, title_of
from flow2api_token_service.projects.rows import MAX_PROJECTS, leave, make_current, project_of, work_in
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.models import ProjectRow, TokenRow
from flow2api_token_service.tokens.repository import TokenRepository
from flow2api_upstream.port import Project
from flow2api_upstream.registry import ProviderRegistry


class ProjectAdministration:
    """The use cases behind ProjectService. All raise NotFound for the token and its project, and FailedPrecondition
    where the provider has no projects; those that change something answer the row of the token with its projects."""

    def __init__(
        self,
        *,
        database: Database,
        changes: TokenChanges,
        store: CredentialStore,
        registry: ProviderRegistry,
        keeper: ProjectKeeper,
        clock: Clock,
    ) -> None:
        self._database = database
        self._changes = changes
        self._store = store
        self._registry = registry
        self._keeper = keeper
        self._clock = clock

    async def token(self, token_id: int) -> TokenRow:
        """The token with its projects."""
        async with self._database.transaction(read_only=True) as session:
            row = await TokenRepository(session).get(token_id)
        if not self._registry.get(row.provider).capabilities.has_projects:
            message = "Tokens of this provider have no projects."
            raise FailedPrecondition(message, reason="PROVIDER_HAS_NO_PROJECTS")
        return row

    async def create(self, token_id: int, *, project_id: str, title: str, actor: str) -> tuple[TokenRow, ProjectRow]:
        """Add a project: that one, or a new one.

        Raises Conflict, CapacityError, and what the upstream's failure means.
        """
        row = await self.token(token_id)
        _check_room(row, project_id)
        project = Project(project_id, title or title_of(self._clock()))
        if not project_id:
            project = await self._keeper.create_upstream(self._store.open(row), project.title)

        def change(row: TokenRow, now: datetime) -> None:
            _check_room(row, project.project_id)
            work_in(row, project.project_id, project.title, now)

        return await self._changed(token_id, project.project_id, change, actor=actor)

    async def delete(self, token_id: int, project_id: str, *, actor: str) -> None:
        """Forget a project."""

        def change(row: TokenRow, now: datetime) -> None:
            del now
            project = _required(row, project_id)
            leave(row, project)
            row.projects.remove(project)

        await self.token(token_id)
        await self._change(token_id, change, actor=actor)

    async def activate(self, token_id: int, project_id: str, *, actor: str) -> tuple[TokenRow, ProjectRow]:
        """Let the token work in a project, and make it the current one."""

        def change(row: TokenRow, now: datetime) -> None:
            project = _required(row, project_id)
            work_in(row, project_id, project.project_name, now)
            make_current(row, project)

        await self.token(token_id)
        return await self._changed(token_id, project_id, change, actor=actor)

    async def deactivate(self, token_id: int, project_id: str, *, actor: str) -> tuple[TokenRow, ProjectRow]:
        """Begin nothing new in a project."""
        await self.token(token_id)
        return await self._changed(
            token_id, project_id, lambda row, _: leave(row, _required(row, project_id)), actor=actor
        )

    async def _changed(
        self, token_id: int, project_id: str, change: Callable[[TokenRow, datetime], None], *, actor: str
    ) -> tuple[TokenRow, ProjectRow]:
        row = await self._change(token_id, change, actor=actor)
        return row, _required(row, project_id)

    async def _change(self, token_id: int, change: Callable[[TokenRow, datetime], None], *, actor: str) -> TokenRow:
        row = await self._changes.change(token_id, change, cause=Cause(actor=actor, cause="project"))
        self._store.remember(row)
        return row


def _required(row: TokenRow, project_id: str) -> ProjectRow:
    project = project_of(row, project_id)
    if project is None:
        raise NotFound(f"Token {row.id} has no such project.", reason="PROJECT_NOT_FOUND")
    return project


def _check_room(row: TokenRow, project_id: str) -> None:
    if project_id and project_of(row, project_id) is not None:
        raise Conflict("The token has this project already.", reason="PROJECT_EXISTS")
    if len(row.projects) >= MAX_PROJECTS:
        raise CapacityError(f"A token has {MAX_PROJECTS} projects at most.", reason="TOO_MANY_PROJECTS")
