"""``generateContent``: a picture, with or without words, whole or streamed.

Source: docs/upstream/google-official.md, section 5.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pydantic_core
from starlette.responses import Response, StreamingResponse

from flow2api_sandbox.admission import admitted
from flow2api_sandbox.bill import Charge
from flow2api_sandbox.calls import Call, Handler, parse_body
from flow2api_sandbox.credentials import Caller
from flow2api_sandbox.errors import ApiError, gemini_error_body
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.gemini.candidates import (
    IMAGE_INPUT_TOKENS,
    blocked_output,
    blocked_prompt,
    chatter,
    first_words,
    picture_chunks,
    text_tokens,
    whole_answer,
)
from flow2api_sandbox.gemini.inputs import IMAGE_TYPES, check_inline, pixel_size_of
from flow2api_sandbox.gemini.models import IMAGE_MODELS, SIZE_FACTORS, GeminiImageModel, nearest_ratio, pixel_size
from flow2api_sandbox.gemini.picture_api import PictureApi
from flow2api_sandbox.gemini.requests import GenerateContent
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.media.recipes import ImageFormat, PictureRecipe
from flow2api_sandbox.prices import picture_items, picture_tokens
from flow2api_sandbox.wire import json_response

_OUTCOMES = frozenset({FaultKind.CONTENT, FaultKind.EMPTY, FaultKind.FAIL})
_STREAM_OUTCOMES = _OUTCOMES | {FaultKind.STREAM_ERROR}
_BENCHMARK_SEEDS = 16
_LARGEST_REQUEST_BYTES = 20 * 1024 * 1024
_FORMATS = {"image/png": ImageFormat.PNG, "image/jpeg": ImageFormat.JPEG}


def generate_content(api: PictureApi) -> Handler:
    """The handler that answers all at once."""

    async def handle(call: Call) -> Response:
        return json_response(whole_answer(await _generate(call, api, "generateContent")))

    return handle


def stream_content(api: PictureApi) -> Handler:
    """The handler that answers in chunks: server-sent events with ``alt=sse``, else one growing JSON array."""

    async def handle(call: Call) -> Response:
        if call.request.query_params.get("alt") == "sse":
            chunks = await _generate(call, api, "streamGenerateContent")
            return StreamingResponse(_as_events(chunks), media_type="text/event-stream")
        try:
            chunks = await _generate(call, api, "streamGenerateContent")
        except ApiError as error:
            # An array of one, as section 10 warns.
            return json_response([gemini_error_body(error)], status=error.http_status)
        return StreamingResponse(_as_array(chunks), media_type="application/json")

    return handle


async def _generate(call: Call, api: PictureApi, method: str) -> list[dict[str, Any]]:
    caller = api.identify(call)
    model_id = call.request.path_params["model"]
    model = IMAGE_MODELS.get(model_id)
    if model is None or not call.world.availability.serves(model_id, caller.location):
        raise api.model_not_found(call, model_id, method)
    raw = await call.read_bytes()
    if len(raw) > _LARGEST_REQUEST_BYTES:
        raise ApiError(400, f"Request payload size exceeds the limit: {_LARGEST_REQUEST_BYTES} bytes.")
    body = parse_body(raw, api.request_type)
    inputs = await _check_inputs(call, api, caller, body, model)
    recipe = await _recipe(call, body, model, inputs)
    call.world.ledger.count_seen(prompt=body.prompt, route=call.route, account=caller.name)
    await call.begin(
        account=caller.name,
        prompt=body.prompt,
        outcomes=_STREAM_OUTCOMES if method == "streamGenerateContent" else _OUTCOMES,
        project=caller.project,
        location=caller.location,
        model=model_id,
    )
    with admitted(call, caller, GenerationKind.IMAGE, model_id):
        await _take_time(call)
    call.world.ledger.count_accepted(body.prompt, route=call.route)
    chunks = _without_picture(call, body, model)
    if chunks is None:
        chunks = await _with_picture(call, caller, body, model, recipe, input_images=len(inputs))
    for chunk in (each for each in chunks if "error" not in each):
        chunk.update(api.more_fields(call))
        if "usageMetadata" in chunk:
            chunk["usageMetadata"].update(api.more_usage or {})
    return chunks


async def _take_time(call: Call) -> None:
    """Wait as long as a picture takes. Raises ApiError 504 when ``x-server-timeout`` (seconds) is over before."""
    settings = call.world.settings
    latency = settings.scaled(settings.image_latency)
    wanted = call.request.headers.get("x-server-timeout", "")
    patience = float(wanted) if wanted.replace(".", "", 1).isdigit() else latency
    await call.world.clock.sleep(min(latency, patience))
    if patience < latency:
        raise ApiError(504, "Deadline expired before operation could complete.")


def _without_picture(call: Call, body: GenerateContent, model: GeminiImageModel) -> list[dict[str, Any]] | None:
    reason = call.outcome_fault.reason if call.outcome_fault else None
    match call.outcome_fault.kind if call.outcome_fault else None:
        case FaultKind.CONTENT:
            return [blocked_prompt(model.model_id, reason or "PROHIBITED_CONTENT")]
        case FaultKind.FAIL:
            return [blocked_output(model.model_id, reason or "IMAGE_SAFETY")]
        case FaultKind.EMPTY:
            return [chatter(model.model_id, reason)]
        case FaultKind.STREAM_ERROR:
            error = ApiError(503, "The model is overloaded. Please try again later.", status=reason)
            return [first_words(model.model_id), gemini_error_body(error)]
    if not body.wants_image:
        return [chatter(model.model_id, "The sandbox answers words only when no image modality is asked for.")]
    return None


async def _with_picture(
    call: Call,
    caller: Caller,
    body: GenerateContent,
    model: GeminiImageModel,
    recipe: PictureRecipe,
    *,
    input_images: int,
) -> list[dict[str, Any]]:
    size = body.generation_config.image_config.image_size or "1K"
    input_tokens = text_tokens(body.prompt) + IMAGE_INPUT_TOKENS * input_images
    charge = Charge(
        caller.name,
        caller.project,
        caller.location,
        model.model_id,
        picture_items(model.model_id, size, input_tokens=input_tokens),
    )
    call.world.charge_money(charge, prompt=body.prompt, route=call.route)
    content = await call.world.library.content(recipe)
    return picture_chunks(
        model.model_id,
        body,
        content,
        recipe.mime_type,
        input_images=input_images,
        output_tokens=picture_tokens(model.model_id, size),
    )


async def _check_inputs(
    call: Call, api: PictureApi, caller: Caller, body: GenerateContent, model: GeminiImageModel
) -> list[bytes]:
    _check_signatures(body, model)
    inputs = []
    for part in (part for content in body.contents for part in content.parts):
        if part.inline_data is not None:
            inline = part.inline_data
            inputs.append(
                check_inline(
                    call,
                    mime_type=inline.mime_type,
                    data=inline.data,
                    allowed=IMAGE_TYPES,
                    bytes_at_most=api.bytes_at_most,
                )
            )
        elif part.file_data is not None:
            file = part.file_data
            content = await api.read_uri(call, caller, file.file_uri, file.mime_type, IMAGE_TYPES)
            inputs.append(content or b"")
    if len(inputs) > model.references_at_most:
        raise ApiError(400, f"Too many images: {len(inputs)}, at most {model.references_at_most}.")
    if not body.prompt and not inputs:
        raise ApiError(400, "Unable to submit request because it must have a text parameter.")
    return inputs


def _check_signatures(body: GenerateContent, model: GeminiImageModel) -> None:
    """Raise ApiError 400 when the model's own picture comes back without its signature, which 3-series models mind."""
    if not model.model_id.startswith("gemini-3"):
        return
    for turn, content in enumerate(body.contents):
        for index, part in enumerate(content.parts):
            if content.role == "model" and part.inline_data and not part.thought and not part.thought_signature:
                raise ApiError(
                    400, f"Image part is missing a thought_signature in content position {turn}, part position {index}."
                )


async def _recipe(call: Call, body: GenerateContent, model: GeminiImageModel, inputs: list[bytes]) -> PictureRecipe:
    config = body.generation_config.image_config
    size = config.image_size or "1K"
    if size not in SIZE_FACTORS or size not in model.sizes or (config.image_size and not model.takes_size):
        raise ApiError(400, f"Invalid value at 'generation_config.image_config.image_size': {size}")
    ratio = config.aspect_ratio
    if ratio is None:
        shape = await asyncio.to_thread(pixel_size_of, inputs[-1]) if inputs else None
        ratio = nearest_ratio(*shape) if shape else "1:1"
    if ratio not in model.ratios:
        raise ApiError(400, f"Invalid value at 'generation_config.image_config.aspect_ratio': {ratio}")
    width, height = pixel_size(ratio, size)
    shows_prompt = call.world.settings.render_prompt
    seed = body.generation_config.seed
    if seed is None:
        seed = secrets.randbelow(2**31)
    return PictureRecipe(
        width=width,
        height=height,
        seed=seed if shows_prompt else seed % _BENCHMARK_SEEDS,
        title=body.prompt if shows_prompt else "",
        caption=f"{width}x{height} {model.model_id}",
        image_format=_FORMATS[config.output_mime_type],
    )


async def _as_events(chunks: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield b"data: " + pydantic_core.to_json(chunk) + b"\r\n\r\n"


async def _as_array(chunks: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    for index, chunk in enumerate(chunks):
        yield (b"," if index else b"[") + pydantic_core.to_json(chunk) + b"\r\n"
    yield b"]"
