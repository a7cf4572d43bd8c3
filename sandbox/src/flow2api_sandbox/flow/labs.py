"""The other calls of the session side: projects, deletion, the redirect to a file, the model list.

Source: docs/upstream/flow.md, section 3.
"""

from typing import Any

from starlette.responses import RedirectResponse, Response

from flow2api_sandbox.calls import Call
from flow2api_sandbox.cdn import require_stored, signed_url
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.flow.access import require_session
from flow2api_sandbox.flow.models import VIDEO_MODELS
from flow2api_sandbox.flow.requests import CreateProjectInput, DeleteMediaInput, DeleteProjectInput, TrpcBody
from flow2api_sandbox.wire import json_response

_EMPTY = frozenset({FaultKind.EMPTY})
_NOT_FOUND = "Requested entity was not found."


async def create_project(call: Call) -> Response:
    """A new project of the account."""
    account = require_session(call)
    project = (await call.read(TrpcBody[CreateProjectInput])).json_
    if await call.begin(account=account.name, outcomes=_EMPTY):
        return _trpc({"result": {}, "status": 200})
    project_id = account.add_project(project.project_title)
    info = {"projectTitle": project.project_title}
    return _trpc({"result": {"projectId": project_id, "projectInfo": info}, "status": 200})


async def delete_project(call: Call) -> Response:
    """The project goes, and its media with it."""
    account = require_session(call)
    project_id = (await call.read(TrpcBody[DeleteProjectInput])).json_.project_to_delete_id
    await call.begin(account=account.name)
    if account.projects.pop(project_id, None) is None:
        raise ApiError(404, _NOT_FOUND)
    assets = call.world.assets
    for name in [name for name, asset in assets.items() if asset.project_id == project_id]:
        del assets[name]
    return _trpc({"status": 200})


async def delete_media(call: Call) -> Response:
    """Media of the account go. Nothing goes when one of them is unknown."""
    account = require_session(call)
    names = (await call.read(TrpcBody[DeleteMediaInput])).json_.names
    await call.begin(account=account.name)
    assets = call.world.assets
    if any(name not in assets or assets[name].owner != account.name for name in names):
        raise ApiError(404, _NOT_FOUND)
    for name in names:
        assets.pop(name, None)
    return _trpc({"status": 200})


async def redirect_to_media(call: Call) -> Response:
    """302 to the signed link of a finished medium."""
    account = require_session(call)
    query = call.request.query_params
    if query.get("mediaUrlType") != "MEDIA_URL_TYPE_FULL_MEDIA":
        raise ApiError(400, "mediaUrlType must be MEDIA_URL_TYPE_FULL_MEDIA")
    asset = call.world.assets.get(query.get("name", ""))
    if asset is None or asset.owner != account.name:
        raise ApiError(404, _NOT_FOUND)
    if await call.begin(account=account.name, prompt=asset.prompt, outcomes=_EMPTY):
        return _trpc({"status": 200})
    require_stored(call.world, asset)
    return RedirectResponse(signed_url(call, asset), status_code=302)


async def list_video_models(call: Call) -> Response:
    """The video keys that the account may use. The nesting is a guess, as the source says."""
    account = require_session(call)
    await call.begin(account=account.name)
    models = [
        {
            "key": model.key,
            "displayName": model.key.replace("_", " "),
            "creditCost": model.price(account.tier),
            "capabilities": sorted(kind.name for kind in model.kinds),
            "supportedAspectRatios": [model.aspect_ratio] if model.aspect_ratio else [],
            "videoLengthSeconds": model.seconds,
        }
        for model in VIDEO_MODELS.values()
        if account.tier in model.tiers
    ]
    return _trpc({"result": {"videoModels": models}, "status": 200})


def _trpc(output: dict[str, Any]) -> Response:
    return json_response({"result": {"data": {"json": output}}})
