"""The thin gRPC edge of projects: translate, delegate, translate."""
# ruff: noqa: N802 - methods have the names of the RPCs

from __future__ import annotations

from typing import Any

import grpc

from flow2api_common.errors import InvalidArgument
from flow2api_proto.tokens.v1 import project_service_pb2 as pb
from flow2api_proto.tokens.v1 import project_service_pb2_grpc
from flow2api_token_service.audit.actor import actor_of
from flow2api_token_service.audit.audit_log import AuditLog
from flow2api_token_service.projects.administration import ProjectAdministration
from flow2api_token_service.tokens.models import ProjectRow, TokenRow
from flow2api_token_service.tokens.proto_to_token import check_project_id
from flow2api_token_service.tokens.token_to_proto import timestamp

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_LENGTH = 200
# It becomes part of upstream addresses.


class ProjectServicer(project_service_pb2_grpc.ProjectServiceServicer):
    """flow2api.tokens.v1.ProjectService."""

    def __init__(self, *, administration: ProjectAdministration, audit: AuditLog) -> None:
        self._administration = administration
        self._audit = audit

    async def ListProjects(self, request: pb.ListProjectsRequest, context: Context) -> pb.ListProjectsResponse:
        """Read the projects of a token."""
        del context
        row = await self._administration.token(request.token_id)
        return pb.ListProjectsResponse(projects=[_project_to_proto(row, project) for project in row.projects])

    async def CreateProject(self, request: pb.CreateProjectRequest, context: Context) -> pb.CreateProjectResponse:
        """Add a project."""
        project_id, title = _checked("project_id", request.project_id), _checked("title", request.title)
        check_project_id(project_id)
        actor, target = actor_of(context), _target(request.token_id)
        async with self._audit.entry(actor, "project.create", target=target, detail=project_id) as entry:
            row, project = await self._administration.create(
                request.token_id, project_id=project_id, title=title, actor=actor
            )
            entry.detail = project.project_id
        return pb.CreateProjectResponse(project=_project_to_proto(row, project))

    async def DeleteProject(self, request: pb.DeleteProjectRequest, context: Context) -> pb.DeleteProjectResponse:
        """Forget a project."""
        project_id, actor = _checked("project_id", request.project_id), actor_of(context)
        async with self._audit.entry(actor, "project.delete", target=_target(request.token_id), detail=project_id):
            await self._administration.delete(request.token_id, project_id, actor=actor)
        return pb.DeleteProjectResponse()

    async def ActivateProject(self, request: pb.ActivateProjectRequest, context: Context) -> pb.ActivateProjectResponse:
        """Work in a project."""
        project_id, actor = _checked("project_id", request.project_id), actor_of(context)
        async with self._audit.entry(actor, "project.activate", target=_target(request.token_id), detail=project_id):
            row, project = await self._administration.activate(request.token_id, project_id, actor=actor)
        return pb.ActivateProjectResponse(project=_project_to_proto(row, project))

    async def DeactivateProject(
        self, request: pb.DeactivateProjectRequest, context: Context
    ) -> pb.DeactivateProjectResponse:
        """Work in a project no more."""
        project_id, actor = _checked("project_id", request.project_id), actor_of(context)
        async with self._audit.entry(actor, "project.deactivate", target=_target(request.token_id), detail=project_id):
            row, project = await self._administration.deactivate(request.token_id, project_id, actor=actor)
        return pb.DeactivateProjectResponse(project=_project_to_proto(row, project))


def _project_to_proto(row: TokenRow, project: ProjectRow) -> pb.Project:
    return pb.Project(
        token_id=row.id,
        project_id=project.project_id,
        title=project.project_name,
        active=project.is_active,
        current=project.project_id == row.project_id,
        create_time=timestamp(project.created_at),
    )


def _checked(field: str, value: str) -> str:
    value = value.strip()
    if len(value) > _MAX_LENGTH:
        raise InvalidArgument.of(field, f"At most {_MAX_LENGTH} characters.")
    return value


def _target(token_id: int) -> str:
    return f"token/{token_id}"
