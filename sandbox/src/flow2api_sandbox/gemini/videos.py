"""Veo on the Gemini API: ``predictLongRunning``, its operations, its results as files.

Google has retired it; it is here for those who switch it on (``POST /_sandbox/availability``).
Source: docs/upstream/google-official.md, sections 1, 8 and 9.
"""

import asyncio
import secrets

from starlette.responses import Response

from flow2api_sandbox.calls import Call
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.gemini.access import identify_key
from flow2api_sandbox.gemini.catalog import model_not_found
from flow2api_sandbox.gemini.files import find_file
from flow2api_sandbox.gemini.inputs import check_inline
from flow2api_sandbox.gemini.store import add_generated_file
from flow2api_sandbox.media.measure import ClipShape, measure_clip
from flow2api_sandbox.media.recipes import ClipRecipe
from flow2api_sandbox.veo.models import VEO_MODELS
from flow2api_sandbox.veo.orders import VeoOrder
from flow2api_sandbox.veo.parameters import IMAGE_TYPES, GeminiImage, GeminiPredict, GeminiVideo
from flow2api_sandbox.veo.store import RESULT_LIFETIME_SECONDS, VeoOperation
from flow2api_sandbox.veo.submit import accept_order
from flow2api_sandbox.veo.views import gemini_json
from flow2api_sandbox.wire import decode_base64, json_response


async def predict_long_running(call: Call) -> Response:
    """Begin a clip."""
    caller = identify_key(call)
    model_id = call.request.path_params["model"]
    model = VEO_MODELS.get(model_id)
    if model is None or not call.world.availability.serves(model_id, caller.location):
        await call.begin(account=caller.name, project=caller.project, location=caller.location, model=model_id)
        raise model_not_found(call, model_id, "predictLongRunning")
    order = await _order(call, caller, await call.read(GeminiPredict))

    def place_results(operation: VeoOperation) -> None:
        for _ in range(operation.delivered_count):
            file = add_generated_file(
                call.world.gemini,
                owner=caller.owner,
                recipe=operation.recipe,
                course=operation,
                active_at=operation.ends_at,
                at_least_bytes=call.world.clips_at_least_bytes,
            )
            operation.file_ids.append(file.file_id)

    name = f"models/{model_id}/operations/{secrets.token_hex(6)}"
    operation = await accept_order(call, caller, model, order, name=name, place_results=place_results)
    return json_response({"name": operation.name})


async def get_operation(call: Call) -> Response:
    """How far a clip is."""
    caller = identify_key(call)
    parameters = call.request.path_params
    name = f"models/{parameters['model']}/operations/{parameters['operation']}"
    operation = call.world.veo.operations.get(name)
    is_known = operation is not None and operation.owner == caller.owner
    await call.begin(
        account=caller.name,
        prompt=operation.prompt if operation is not None and is_known else "",
        project=caller.project,
        location=caller.location,
        model=parameters["model"],
    )
    now = call.world.clock.now()
    if (
        operation is None
        or not is_known
        or now > operation.ends_at + RESULT_LIFETIME_SECONDS
        or operation.spoils(FaultKind.MISSING, default_answers=None)
    ):
        raise ApiError(404, "Requested entity was not found.")
    call.world.settle_credential(caller.credential)
    return json_response(gemini_json(call, operation))


async def _order(call: Call, caller: Caller, body: GeminiPredict) -> VeoOrder:
    instance, parameters = body.instances[0], body.parameters
    for picture in (instance.image, instance.last_frame, *(each.image for each in instance.reference_images)):
        if picture is not None:
            _check_picture(call, picture)
    source = await _clip_shape(call, caller, instance.video) if instance.video is not None else None
    if source is not None and (min(source.width, source.height) != 720 or parameters.resolution != "720p"):
        raise ApiError(400, "Only clips of 720p can be extended, to 720p.")
    return VeoOrder(
        prompt=instance.prompt,
        has_image=instance.image is not None,
        has_last_frame=instance.last_frame is not None,
        reference_count=len(instance.reference_images),
        source=source,
        seconds=parameters.duration_seconds or 8,
        aspect_ratio=parameters.aspect_ratio,
        resolution=parameters.resolution,
        person_generation=parameters.person_generation,
    )


def _check_picture(call: Call, picture: GeminiImage) -> None:
    if picture.inline_data is not None:
        mime_type, data = str(picture.inline_data.mime_type), picture.inline_data.data
    else:
        mime_type, data = str(picture.mime_type), picture.bytes_base64_encoded or ""
    check_inline(call, mime_type=mime_type, data=data, allowed=IMAGE_TYPES)


async def _clip_shape(call: Call, caller: Caller, video: GeminiVideo) -> ClipShape:
    if video.uri is not None:
        file_id = video.uri.rpartition("/files/")[2].removesuffix("?alt=media").removesuffix(":download")
        file = find_file(call, caller, file_id) if "/files/" in video.uri else None
        if file is None or file.active_at > call.world.clock.now():
            raise ApiError(403, f"You do not have permission to access the File {file_id} or it may not exist.")
        recipe = file.recipe
        if not isinstance(file.course, VeoOperation) or not isinstance(recipe, ClipRecipe):
            raise ApiError(400, "The video must be one that Veo generated.")
        return ClipShape(recipe.width, recipe.height, recipe.seconds)
    try:
        content = decode_base64(video.encoded_video or "", url_safe_too=True)
    except ValueError as exc:
        raise ApiError(400, "Invalid value at 'video' (TYPE_BYTES), Base64 decoding failed.") from exc
    shape = await asyncio.to_thread(measure_clip, content)
    if shape is None:
        raise ApiError(400, "The video is not a readable MP4 file.")
    return shape
