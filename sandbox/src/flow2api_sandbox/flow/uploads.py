"""Reference pictures go up, in the new and in the old form. Source: docs/upstream/flow.md, section 6."""

import secrets
from typing import Any

from starlette.responses import Response

from flow2api_sandbox.accounts import Account
from flow2api_sandbox.assets import FlowAsset
from flow2api_sandbox.calls import Call
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.flow.access import require_bearer, require_project
from flow2api_sandbox.flow.models import IMAGE_SIZES
from flow2api_sandbox.flow.requests import OldUploadImage, UploadImage
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.media.recipes import StoredFile
from flow2api_sandbox.media.sniff import sniff_mime_type
from flow2api_sandbox.settings import UploadAnswer
from flow2api_sandbox.wire import decode_base64, json_response
from flow2api_sandbox.world import new_id

_ACCEPTED = {"image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/jp2"}
_EMPTY = frozenset({FaultKind.EMPTY})


async def upload_image(call: Call) -> Response:
    """A picture of the project; the answer has the shape that the settings name."""
    account = require_bearer(call)
    body = await call.read(UploadImage)
    require_project(account, body.client_context)
    content = _decode_picture(call, body.image_bytes, body.mime_type)
    if await call.begin(account=account.name, outcomes=_EMPTY):
        return json_response({})
    await call.world.clock.sleep(call.world.settings.scaled(call.world.settings.upload_latency))
    shape = call.world.settings.upload_answer
    name = old_media_id() if shape is UploadAnswer.MEDIA_GENERATION_ID else new_id()
    project_id = body.client_context.project_id
    _keep(call, account, name=name, project_id=project_id, content=content, mime_type=body.mime_type)
    return json_response(_upload_answer(shape, name, project_id))


async def upload_user_image(call: Call) -> Response:
    """A picture in the old form: it belongs to no project, and the new calls do not know its id."""
    account = require_bearer(call)
    image = (await call.read(OldUploadImage)).image_input
    if image.aspect_ratio not in IMAGE_SIZES:
        raise ApiError(400, f'Invalid value at "imageInput.aspectRatio": {image.aspect_ratio}')
    content = _decode_picture(call, image.raw_image_bytes, image.mime_type)
    if await call.begin(account=account.name, outcomes=_EMPTY):
        return json_response({})
    name = old_media_id()
    _keep(call, account, name=name, project_id="", content=content, mime_type=image.mime_type)
    return json_response(_upload_answer(UploadAnswer.MEDIA_GENERATION_ID, name, ""))


def old_media_id() -> str:
    """An id in the old form."""
    return f"CAM{secrets.token_urlsafe(48)}"


def _decode_picture(call: Call, text: str, mime_type: str) -> bytes:
    try:
        content = decode_base64(text, url_safe_too=False)
    except ValueError as exc:
        raise ApiError(400, "Invalid value at 'imageBytes' (TYPE_BYTES), Base64 decoding failed.") from exc
    if len(content) > call.world.settings.max_image_bytes:
        raise ApiError(413, "The image is too large.")
    found = sniff_mime_type(content)
    if found not in _ACCEPTED or found != mime_type:
        raise ApiError(400, f"The image is {found or 'of no known type'}, not {mime_type}.")
    return content


def _keep(call: Call, account: Account, *, name: str, project_id: str, content: bytes, mime_type: str) -> None:
    asset = FlowAsset(
        name=name,
        owner=account.name,
        project_id=project_id,
        kind=GenerationKind.IMAGE,
        recipe=StoredFile(content, mime_type),
        created_at=call.world.clock.now(),
        is_upload=True,
    )
    call.world.remember(asset)


def _upload_answer(shape: UploadAnswer, name: str, project_id: str) -> dict[str, Any]:
    medium = {"name": name, "projectId": project_id}
    match shape:
        case UploadAnswer.MEDIA:
            return {"media": medium}
        case UploadAnswer.MEDIA_LIST:
            return {"media": [medium]}
        case UploadAnswer.MEDIA_GENERATION_ID:
            return {"mediaGenerationId": {"mediaGenerationId": name}}
