"""Upstream projects. Source: docs/upstream/flow.md, section 3 (createProject)."""

from flow2api_upstream.flow.calls import TOOL, FlowCalls
from flow2api_upstream.flow.classify import malformed
from flow2api_upstream.json_reading import object_at, text_at
from flow2api_upstream.port import Account, Project


async def create_project(calls: FlowCalls, account: Account, title: str) -> Project:
    """Make a project of that title."""
    body = {"json": {"projectTitle": title, "toolName": TOOL}}
    answer = await calls.labs(account, "/trpc/project.createProject", body)
    result = object_at(answer, "result", "data", "json", "result")
    project_id = text_at(result, "projectId")
    if not project_id:
        raise malformed("it names no project")
    return Project(project_id, text_at(result, "projectInfo", "projectTitle") or title)
