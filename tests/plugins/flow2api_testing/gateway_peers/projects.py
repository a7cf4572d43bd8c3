"""Projects of accounts that gateway tests are answered with."""

# ruff: noqa: N802 - the servicers have the names of the RPCs.

from __future__ import annotations

from typing import Any

from flow2api_common.errors import (
    NotFound,
)
from flow2api_proto.tokens.v1 import (
    project_service_pb2,
    project_service_pb2_grpc,
)


class FakeProjects(project_service_pb2_grpc.ProjectServiceServicer):
    """Projects of one token."""

    def __init__(self) -> None:
        self.projects: dict[str, project_service_pb2.Project] = {}

    def _get(self, project_id: str) -> project_service_pb2.Project:
        if project_id not in self.projects:
            raise NotFound("There is no such project.", reason="PROJECT_NOT_FOUND")
        return self.projects[project_id]

    async def ListProjects(self, request: Any, context: Any) -> Any:
        return project_service_pb2.ListProjectsResponse(projects=self.projects.values())

    async def CreateProject(self, request: Any, context: Any) -> Any:
        project = project_service_pb2.Project(
            token_id=request.token_id,
            project_id=request.project_id or f"made-{len(self.projects)}",
            title=request.title,
            active=True,
        )
        self.projects[project.project_id] = project
        return project_service_pb2.CreateProjectResponse(project=project)

    async def DeleteProject(self, request: Any, context: Any) -> Any:
        del self.projects[self._get(request.project_id).project_id]
        return project_service_pb2.DeleteProjectResponse()

    async def ActivateProject(self, request: Any, context: Any) -> Any:
        project = self._get(request.project_id)
        project.active = project.current = True
        return project_service_pb2.ActivateProjectResponse(project=project)

    async def DeactivateProject(self, request: Any, context: Any) -> Any:
        project = self._get(request.project_id)
        project.active = project.current = False
        return project_service_pb2.DeactivateProjectResponse(project=project)
