"""``generateContent``: a picture, with or without words, whole or streamed.

Source: docs/upstream/google-official.md, section 5.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pydantic_core
from starlette.responses import Response, StreamingResponse

from flow2api_sandbox.accounts import ApiKey
from flow2api_sandbox.calls import Call
from flow2api_sandbox.errors import ApiError
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.gemini.access import require_api_key, require_capacity
from flow2api_sandbox.gemini.candidates import blocked_output, blocked_prompt, chatter, picture_chunks, whole_answer
from flow2api_sandbox.gemini.catalog import model_not_found
from flow2api_sandbox.gemini.inputs import IMAGE_TYPES, check_inline, check_uri, pixel_size_of
from flow2api_sandbox.gemini.models import IMAGE_MODELS, SIZE_FACTORS, GeminiImageModel, nearest_ratio, pixel_size
from flow2api_sandbox.gemini.requests import GenerateContent
from flow2api_sandbox.ledger import GenerationKind
from flow2api_sandbox.media.recipes import PictureRecipe
from flow2api_sandbox.wire import json_response

_OUTCOMES = frozenset({FaultKind.CONTENT, FaultKind.EMPTY, FaultKind.FAIL})
_BENCHMARK_SEEDS = 16


async def generate_content(call: Call) -> Response:
    """The whole answer at once."""
    chunks = await _generate(call, "generateContent")
    return json_response(whole_answer(chunks))


async def stream_content(call: Call) -> Response:
    """The answer in chunks: server-sent events with ``alt=sse``, else one growing JSON array."""
    chunks = await _generate(call, "streamGenerateContent")
    if call.request.query_params.get("alt") == "sse":
        return StreamingResponse(_as_events(chunks), media_type="text/event-stream")
    return StreamingResponse(_as_array(chunks), media_type="application/json")


async def _generate(call: Call, method: str) -> list[dict[str, Any]]:
    key = require_api_key(call)
    model = IMAGE_MODELS.get(call.request.path_params["model"])
    if model is None:
        raise model_not_found(call, call.request.path_params["model"], method)
    body = await call.read(GenerateContent)
    inputs = _check_inputs(call, key, body, model)
    recipe = await _recipe(call, body, model, inputs)
    call.world.ledger.count_seen(prompt=body.prompt, route=call.route, account=key.name)
    outcome = await call.begin(account=key.name, prompt=body.prompt, outcomes=_OUTCOMES)
    require_capacity(call, key, GenerationKind.IMAGE, call.world.settings.image_cap)
    await _take_time(call, key)
    call.world.ledger.count_accepted(body.prompt, route=call.route)
    reason = call.outcome_fault.reason if call.outcome_fault else None
    match outcome:
        case FaultKind.CONTENT:
            return [blocked_prompt(model.model_id, reason or "PROHIBITED_CONTENT")]
        case FaultKind.FAIL:
            return [blocked_output(model.model_id, reason or "IMAGE_SAFETY")]
        case FaultKind.EMPTY:
            return [chatter(model.model_id, reason)]
    if not body.wants_image:
        return [chatter(model.model_id, "The sandbox answers words only when no image modality is asked for.")]
    call.world.ledger.count_charge(body.prompt, route=call.route, account=key.name, price=model.price_micros)
    content = await call.world.library.content(recipe)
    return picture_chunks(model.model_id, body, content, recipe.mime_type, input_images=len(inputs))


def _check_inputs(call: Call, key: ApiKey, body: GenerateContent, model: GeminiImageModel) -> list[bytes]:
    inputs = []
    for part in (part for content in body.contents for part in content.parts):
        if part.inline_data is not None:
            inline = part.inline_data
            inputs.append(check_inline(call, mime_type=inline.mime_type, data=inline.data, allowed=IMAGE_TYPES))
        elif part.file_data is not None:
            file = part.file_data
            content = check_uri(call, key, uri=file.file_uri, mime_type=file.mime_type, allowed=IMAGE_TYPES)
            inputs.append(content or b"")
    if len(inputs) > model.references_at_most:
        raise ApiError(400, f"Too many images: {len(inputs)}, at most {model.references_at_most}.")
    if not body.prompt and not inputs:
        raise ApiError(400, "Unable to submit request because it must have a text parameter.")
    return inputs


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
    )


async def _take_time(call: Call, key: ApiKey) -> None:
    key.watch.enter(GenerationKind.IMAGE)
    try:
        await call.world.clock.sleep(call.world.settings.scaled(call.world.settings.image_latency))
    finally:
        key.watch.leave(GenerationKind.IMAGE)


async def _as_events(chunks: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield b"data: " + pydantic_core.to_json(chunk) + b"\r\n\r\n"


async def _as_array(chunks: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    for index, chunk in enumerate(chunks):
        yield (b"," if index else b"[") + pydantic_core.to_json(chunk) + b"\r\n"
    yield b"]"
