"""Interactions as the wire shows them: one object, or a stream of events.

Source: docs/upstream/google-official.md, section 6.
"""

from collections.abc import AsyncIterator
from typing import Any

import pydantic_core

from flow2api_sandbox.calls import Call
from flow2api_sandbox.clock import to_rfc3339
from flow2api_sandbox.faults import FaultKind
from flow2api_sandbox.gemini.store import Interaction, InteractionStatus
from flow2api_sandbox.wire import encode_base64

_THOUGHT = {"type": "thought", "summary": []}


async def interaction_json(call: Call, interaction: Interaction, *, include_input: bool = False) -> dict[str, Any]:
    """The interaction object as of now."""
    now = call.world.clock.now()
    status = interaction.status(now)
    body = _head(interaction, status, min(now, interaction.ends_at))
    steps: list[dict[str, Any]] = []
    if include_input:
        steps.append(_input_step(interaction))
    if status is InteractionStatus.COMPLETED:
        steps += [_THOUGHT, await _output_step(call, interaction)]
        body["usage"] = _usage(interaction)
    if steps:
        body["steps"] = steps
    if status is InteractionStatus.FAILED:
        body["errors"] = [_error(interaction)]
    return body


async def interaction_events(call: Call, interaction: Interaction, *, after: str | None = None) -> AsyncIterator[bytes]:
    """The events of an interaction up to ``[DONE]``, those after an event's id alone if one is given.

    The first come at once, the others when the work is over; of one that never ends there are no others.
    """
    shown_after = int(after) if after is not None and after.isdigit() else -1
    first = _first_events(interaction)
    for number, event in enumerate(first):
        if number > shown_after:
            yield _write_event(number, event)
    await call.world.clock.sleep(interaction.ends_at - call.world.clock.now())
    call.world.settle_credential(interaction.payer)
    if not interaction.is_over(call.world.clock.now()):
        return
    for number, event in enumerate(await _last_events(call, interaction), start=len(first)):
        if number > shown_after:
            yield _write_event(number, event)
    yield b"data: [DONE]\r\n\r\n"


def _first_events(interaction: Interaction) -> list[dict[str, Any]]:
    created = _head(interaction, InteractionStatus.IN_PROGRESS, interaction.created_at)
    return [
        {"event_type": "interaction.created", "interaction": created},
        {
            "event_type": "interaction.status_update",
            "interaction_id": interaction.interaction_id,
            "status": InteractionStatus.IN_PROGRESS,
        },
    ]


async def _last_events(call: Call, interaction: Interaction) -> list[dict[str, Any]]:
    final = await interaction_json(call, interaction)
    events: list[dict[str, Any]] = []
    for index, step in enumerate(final.get("steps", [])):
        events.append({"event_type": "step.start", "index": index, "step": {"type": step["type"]}})
        events += [
            {"event_type": "step.delta", "index": index, "delta": content} for content in step.get("content", [])
        ]
        events.append({"event_type": "step.stop", "index": index})
    if "errors" in final:
        events.append({"event_type": "error", "error": final["errors"][0]})
    events.append({"event_type": "interaction.completed", "interaction": final})
    return events


def _write_event(number: int, event: dict[str, Any]) -> bytes:
    data = pydantic_core.to_json({**event, "event_id": str(number)})
    return f"event: {event['event_type']}\r\ndata: ".encode() + data + b"\r\n\r\n"


def _head(interaction: Interaction, status: InteractionStatus, updated_at: float) -> dict[str, Any]:
    return {
        "id": interaction.interaction_id,
        "object": "interaction",
        "model": interaction.model,
        "status": status.value,
        "created": to_rfc3339(interaction.created_at),
        "updated": to_rfc3339(updated_at),
    }


def _input_step(interaction: Interaction) -> dict[str, Any]:
    return {"type": "user_input", "content": interaction.contents}


async def _output_step(call: Call, interaction: Interaction) -> dict[str, Any]:
    fault = interaction.fault
    if fault is not None and fault.kind is FaultKind.EMPTY:
        text = fault.reason or "I can only describe that."
        return {"type": "model_output", "content": [{"type": "text", "text": text}]}
    content: dict[str, Any] = {"type": interaction.kind.value, "mime_type": interaction.recipe.mime_type}
    if interaction.gcs_uri is not None:
        content["uri"] = interaction.gcs_uri
    elif interaction.file_id is not None:
        content["uri"] = f"{call.base_url}/v1beta/files/{interaction.file_id}:download?alt=media"
    else:
        content["data"] = encode_base64(await call.world.library.content(interaction.recipe))
    return {"type": "model_output", "content": [content]}


def _error(interaction: Interaction) -> dict[str, str]:
    reason = interaction.fault.reason if interaction.fault else None
    return {"code": reason or "content_blocked", "message": "The generation was blocked by the safety filters."}


def _usage(interaction: Interaction) -> dict[str, Any]:
    input_tokens = sum(interaction.input_tokens.values())
    return {
        "total_input_tokens": input_tokens,
        "total_output_tokens": interaction.output_tokens,
        "total_thought_tokens": 0,
        "total_tokens": input_tokens + interaction.output_tokens,
        "input_tokens_by_modality": [
            {"modality": modality, "tokens": tokens} for modality, tokens in interaction.input_tokens.items()
        ],
        "output_tokens_by_modality": [{"modality": interaction.kind.value, "tokens": interaction.output_tokens}],
    }
