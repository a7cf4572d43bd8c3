"""Upstream projects. Source: docs/upstream/flow.md, sections 3 (createProject, deleteMedia), 6 and 12."""

import base64
from contextlib import suppress

from flow2api_upstream.flow.calls import TOOL, FlowCalls
from flow2api_upstream.flow.classify import malformed
from flow2api_upstream.flow.handles import FlowMedia
from flow2api_upstream.flow.upload import upload_image
from flow2api_upstream.json_reading import object_at, text_at
from flow2api_upstream.port import Account, FailureClass, Project, SourceImage, UpstreamFailure

# One grey pixel.
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


async def create_project(calls: FlowCalls, account: Account, title: str) -> Project:
    """Make a project of that title."""
    body = {"json": {"projectTitle": title, "toolName": TOOL}}
    answer = await calls.labs(account, "/trpc/project.createProject", body)
    result = object_at(answer, "result", "data", "json", "result")
    project_id = text_at(result, "projectId")
    if not project_id:
        raise malformed("it names no project")
    return Project(project_id, text_at(result, "projectInfo", "projectTitle") or title)


async def of_missing(calls: FlowCalls, account: Account, failure: UpstreamFailure) -> UpstreamFailure:
    """What a generation without media that was answered 404 lacks: its model or its project.

    The upstream says the same of both, and nothing reads a project. An upload names nothing else, so that a hidden
    pixel tells, which is deleted again; it costs nothing.
    """
    if failure.failure_class is not FailureClass.MODEL_GONE or not account.project_id:
        return failure
    try:
        pixel = await upload_image(calls, account, SourceImage(data=_PIXEL, mime_type="image/png"))
    except UpstreamFailure as refusal:
        return refusal if refusal.failure_class is FailureClass.PROJECT_GONE else failure
    if pixel.handle is not None:
        with suppress(UpstreamFailure):  # It is hidden, and nobody refers to it.
            names = [FlowMedia.read(pixel.handle).name]
            await calls.labs(account, "/trpc/media.deleteMedia", {"json": {"names": names}})
    return failure
