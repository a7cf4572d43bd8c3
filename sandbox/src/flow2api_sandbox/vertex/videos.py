"""Veo on Vertex: ``predictLongRunning`` and ``fetchPredictOperation``.

Source: docs/upstream/google-official.md, section 8.
"""

import asyncio
import secrets
import uuid
from collections.abc import Callable

from starlette.responses import Response

from flow2api_sandbox.calls import Call, Handler
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.gemini.inputs import check_inline
from flow2api_sandbox.media.inlined import InlinedFiles
from flow2api_sandbox.media.measure import ClipShape, measure_clip
from flow2api_sandbox.media.recipes import ClipRecipe, StoredFile
from flow2api_sandbox.storage.access import require_object, require_prefix
from flow2api_sandbox.storage.store import GcsUri, StoredObject
from flow2api_sandbox.veo.models import VEO_MODELS
from flow2api_sandbox.veo.orders import VeoOrder
from flow2api_sandbox.veo.parameters import IMAGE_TYPES, FetchOperation, VertexImage, VertexPredict, VertexVideo
from flow2api_sandbox.veo.store import RESULT_LIFETIME_SECONDS, VeoOperation
from flow2api_sandbox.veo.submit import accept_order
from flow2api_sandbox.veo.views import vertex_json
from flow2api_sandbox.vertex.catalog import model_not_found
from flow2api_sandbox.wire import decode_base64, json_response

Identify = Callable[[Call], Caller]


def predict_long_running(identify: Identify) -> Handler:
    """The handler that begins a clip; ``identify`` says who may."""

    async def handle(call: Call) -> Response:
        caller = identify(call)
        model_id = call.request.path_params["model"]
        model = VEO_MODELS.get(model_id)
        if model is None or not call.world.availability.serves(model_id, caller.location):
            raise model_not_found(call, model_id, "predictLongRunning")
        body = await call.read(VertexPredict)
        order = await _order(call, caller, body)
        prefix = require_prefix(call, caller, uri) if (uri := body.parameters.storage_uri) is not None else None

        def place_results(operation: VeoOperation) -> None:
            if prefix is not None:
                _place_in_bucket(call, operation, prefix)

        resource = call.request.url.path.split("/", 2)[-1].rpartition(":")[0]
        name = f"{resource}/operations/{uuid.uuid4()}"
        operation = await accept_order(call, caller, model, order, name=name, place_results=place_results)
        return json_response({"name": operation.name})

    return handle


def fetch_predict_operation(identify: Identify) -> Handler:
    """The handler that says how far a clip is."""

    async def handle(call: Call) -> Response:
        caller = identify(call)
        wanted = (await call.read(FetchOperation)).operation_name
        resource = call.request.url.path.split("/", 2)[-1].rpartition(":")[0]
        operation = call.world.veo.operations.get(wanted)
        is_known = operation is not None and operation.owner == caller.owner
        await call.begin(
            account=caller.name,
            prompt=operation.prompt if operation is not None and is_known else "",
            project=caller.project,
            location=caller.location,
            model=call.request.path_params["model"],
        )
        if wanted.partition("/operations/")[0] != resource:
            raise ApiError(400, f"The operation {wanted} does not belong to {resource}.")
        if operation is None or not is_known or _is_gone(call, operation):
            raise ApiError(404, f"Operation {wanted} was not found.")
        call.world.settle_credential(caller.credential)
        files = InlinedFiles()
        return files.response(await vertex_json(call, operation, files))

    return handle


def _is_gone(call: Call, operation: VeoOperation) -> bool:
    has_expired = call.world.clock.now() > operation.ends_at + RESULT_LIFETIME_SECONDS
    return has_expired or operation.spoils(FaultKind.MISSING, default_answers=None)


async def _order(call: Call, caller: Caller, body: VertexPredict) -> VeoOrder:
    instance, parameters = body.instances[0], body.parameters
    pictures = [instance.image, instance.last_frame, *(each.image for each in instance.reference_images)]
    for picture in pictures:
        if picture is not None:
            await _check_picture(call, caller, picture)
    return VeoOrder(
        prompt=instance.prompt,
        has_image=instance.image is not None,
        has_last_frame=instance.last_frame is not None,
        reference_count=len(instance.reference_images),
        source=await _clip_shape(call, caller, instance.video) if instance.video is not None else None,
        sample_count=parameters.sample_count,
        seconds=parameters.duration_seconds or 8,
        aspect_ratio=parameters.aspect_ratio,
        resolution=parameters.resolution,
        person_generation=parameters.person_generation,
        has_audio=parameters.generate_audio,
        resizes=parameters.resize_mode is not None,
    )


async def _check_picture(call: Call, caller: Caller, picture: VertexImage) -> None:
    if picture.bytes_base64_encoded is not None:
        check_inline(call, mime_type=picture.mime_type, data=picture.bytes_base64_encoded, allowed=IMAGE_TYPES)
        return
    found = require_object(call, caller, picture.gcs_uri or "").recipe.mime_type
    if found != picture.mime_type:
        raise ApiError(400, f"The image {picture.gcs_uri} is {found}, not {picture.mime_type}.")


async def _clip_shape(call: Call, caller: Caller, video: VertexVideo) -> ClipShape:
    if video.gcs_uri is not None:
        recipe = require_object(call, caller, video.gcs_uri).recipe
        if isinstance(recipe, ClipRecipe):
            return ClipShape(recipe.width, recipe.height, recipe.seconds)
        content = recipe.content if isinstance(recipe, StoredFile) else b""
    else:
        try:
            content = decode_base64(video.bytes_base64_encoded or "", url_safe_too=True)
        except ValueError as exc:
            raise ApiError(400, "Invalid value at 'video' (TYPE_BYTES), Base64 decoding failed.") from exc
    shape = await asyncio.to_thread(measure_clip, content)
    if shape is None:
        raise ApiError(400, "The video is not a readable MP4 file.")
    return shape


def _place_in_bucket(call: Call, operation: VeoOperation, prefix: GcsUri) -> None:
    folder = secrets.randbelow(10**19)
    for index in range(operation.delivered_count):
        uri = GcsUri(prefix.bucket, f"{prefix.name}{folder}/sample_{index}.mp4")
        operation.gcs_uris.append(uri)
        # A clip is in the bucket as soon as its operation is done.
        stored = StoredObject(operation.recipe, operation.created_at, operation.ends_at, course=operation)
        call.world.storage.put(uri, stored)
