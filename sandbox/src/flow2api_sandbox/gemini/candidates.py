"""Answers of ``generateContent``: pictures, refusals, words. Source: docs/upstream/google-official.md, section 5."""

import secrets
from typing import Any

from flow2api_sandbox.gemini.requests import GenerateContent
from flow2api_sandbox.wire import encode_base64

IMAGE_INPUT_TOKENS = 258
_THOUGHT_TOKENS = 80
_BLOCKED_USAGE = {"promptTokenCount": 7, "totalTokenCount": 7}
_RATINGS = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]


def text_tokens(text: str) -> int:
    """How many tokens a text counts for."""
    return max(1, len(text) // 4)


def picture_chunks(
    model_id: str, body: GenerateContent, content: bytes, mime_type: str, *, input_images: int, output_tokens: int
) -> list[dict[str, Any]]:
    """The answer as the chunks of a stream; the last one carries the reason of the end and the usage."""
    envelope = _envelope(model_id)
    pieces: list[list[dict[str, Any]]] = []
    thinking = body.generation_config.thinking_config
    inline = {"mimeType": mime_type, "data": encode_base64(content)}
    if thinking is not None and thinking.include_thoughts:
        pieces.append([{"text": "Sketching first.", "thought": True}, {"inlineData": inline, "thought": True}])
    if body.wants_text:
        pieces.append([{"text": "Here you are."}])
    pieces.append([{"inlineData": inline, "thoughtSignature": encode_base64(secrets.token_bytes(24))}])
    chunks = [_chunk(envelope, parts) for parts in pieces]
    chunks[-1]["candidates"][0] |= {"finishReason": "STOP", "safetyRatings": _RATINGS}
    chunks[-1]["usageMetadata"] = _usage(body.prompt, input_images, output_tokens)
    return chunks


def whole_answer(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The chunks of a stream put together."""
    last = chunks[-1]
    if len(chunks) == 1:
        return last
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    candidate = {**last["candidates"][0], "content": {"role": "model", "parts": parts}}
    return {**last, "candidates": [candidate]}


def blocked_prompt(model_id: str, reason: str) -> dict[str, Any]:
    """The prompt or an input was refused: no candidates."""
    return {"promptFeedback": {"blockReason": reason}, "usageMetadata": _BLOCKED_USAGE, **_envelope(model_id)}


def blocked_output(model_id: str, reason: str) -> dict[str, Any]:
    """The picture was refused: a candidate without content."""
    message = "Unable to show the generated image. The image was filtered out."
    candidate = {"index": 0, "finishReason": reason, "finishMessage": message}
    return {"candidates": [candidate], "usageMetadata": _BLOCKED_USAGE, **_envelope(model_id)}


def chatter(model_id: str, text: str | None) -> dict[str, Any]:
    """A normal end with words and no picture."""
    chunk = _chunk(_envelope(model_id), [{"text": text or "I can only describe that picture."}])
    chunk["candidates"][0]["finishReason"] = "STOP"
    chunk["usageMetadata"] = {"promptTokenCount": 7, "candidatesTokenCount": 9, "totalTokenCount": 16}
    return chunk


def first_words(model_id: str) -> dict[str, Any]:
    """The first chunk of a stream that has more to say."""
    return _chunk(_envelope(model_id), [{"text": "Here you are."}])


def _envelope(model_id: str) -> dict[str, Any]:
    return {"modelVersion": model_id, "responseId": secrets.token_urlsafe(16)}


def _chunk(envelope: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}}], **envelope}


def _usage(prompt: str, input_images: int, output_tokens: int) -> dict[str, Any]:
    words = text_tokens(prompt)
    image_tokens = IMAGE_INPUT_TOKENS * input_images
    details = [{"modality": "TEXT", "tokenCount": words}]
    if image_tokens:
        details.append({"modality": "IMAGE", "tokenCount": image_tokens})
    return {
        "promptTokenCount": words + image_tokens,
        "candidatesTokenCount": output_tokens,
        "thoughtsTokenCount": _THOUGHT_TOKENS,
        "totalTokenCount": words + image_tokens + output_tokens + _THOUGHT_TOKENS,
        "promptTokensDetails": details,
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": output_tokens}],
    }
