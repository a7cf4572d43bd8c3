"""``/admin/tokens/{id}/projects``: the upstream projects that a token works in."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.acting import acting
from flow2api_gateway.admin.schemas import ProjectCreateBody
from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.admin.token_json import token_id_of
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS, takes_json
from flow2api_proto.tokens.v1 import project_service_pb2

router: Final = APIRouter(tags=["administration"])
# Making one asks the upstream.
_UPSTREAM_SECONDS: Final = 60.0


@router.get("/admin/tokens/{token_id}/projects", summary="List the projects of a token", responses=ERRORS)
async def list_projects(token_id: str, _admin: AdminDep, gateway: GatewayDep) -> Response:
    """In the order in which they were added."""
    listing = project_service_pb2.ListProjectsRequest(token_id=token_id_of(token_id))
    with rpc_errors("token"):
        answer = await gateway.peers.projects.ListProjects(listing)
    return json_response([_project_json(project) for project in answer.projects])


@router.post(
    "/admin/tokens/{token_id}/projects",
    summary="Add a project to a token",
    openapi_extra=takes_json(ProjectCreateBody),
    responses=ERRORS,
)
async def add_project(request: Request, token_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """The one that ``project_id`` names; without it, a new one is made upstream."""
    body = await read_json(request, ProjectCreateBody, gateway.settings.max_body_bytes)
    creation = project_service_pb2.CreateProjectRequest(
        token_id=token_id_of(token_id), project_id=body.project_id or "", title=body.project_name or ""
    )
    with rpc_errors("token"):
        answer = await gateway.peers.projects.CreateProject(creation, timeout=_UPSTREAM_SECONDS, metadata=acting(admin))
    return json_response(_project_json(answer.project))


@router.delete(
    "/admin/tokens/{token_id}/projects/{project_id}", summary="Remove a project of a token", responses=ERRORS
)
async def remove_project(token_id: str, project_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Upstream it stays."""
    removal = project_service_pb2.DeleteProjectRequest(token_id=token_id_of(token_id), project_id=project_id)
    with rpc_errors("token"):
        await gateway.peers.projects.DeleteProject(removal, metadata=acting(admin))
    return json_response({"success": True, "project_id": project_id, "deleted": True})


@router.post("/admin/tokens/{token_id}/projects/{project_id}/activate", summary="Work in a project", responses=ERRORS)
async def activate_project(token_id: str, project_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """It becomes the current one."""
    request = project_service_pb2.ActivateProjectRequest(token_id=token_id_of(token_id), project_id=project_id)
    with rpc_errors("token"):
        answer = await gateway.peers.projects.ActivateProject(request, metadata=acting(admin))
    return json_response(_project_json(answer.project))


@router.post(
    "/admin/tokens/{token_id}/projects/{project_id}/deactivate",
    summary="Work in a project no more",
    responses=ERRORS,
)
async def deactivate_project(token_id: str, project_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """What was begun in it runs to its end."""
    request = project_service_pb2.DeactivateProjectRequest(token_id=token_id_of(token_id), project_id=project_id)
    with rpc_errors("token"):
        answer = await gateway.peers.projects.DeactivateProject(request, metadata=acting(admin))
    return json_response(_project_json(answer.project))


def _project_json(project: project_service_pb2.Project) -> dict[str, Any]:
    return {
        "token_id": project.token_id,
        "project_id": project.project_id,
        "project_name": project.title,
        "is_active": project.active,
        "is_current": project.current,
        "created_at": iso_time(project, "create_time"),
    }
