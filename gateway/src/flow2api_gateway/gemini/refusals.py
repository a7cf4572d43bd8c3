"""Content that was refused, in Google's words. Source: docs/upstream/google-official.md, section 5."""

from __future__ import annotations

from typing import Final

from flow2api_common.errors import Flow2APIError, UpstreamRejected

_BLOCKED_PROMPT: Final = frozenset(
    {"SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "JAILBREAK", "MODEL_ARMOR"}
)
_USUAL_BLOCK: Final = "PROHIBITED_CONTENT"
# Reasons that speak of what was made, not of what was asked.
_BLOCKED_OUTPUT: Final = frozenset(
    {"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "RECITATION", "LANGUAGE", "SPII"}
)


def is_refusal(error: Flow2APIError) -> bool:
    """Whether the error says that the content was refused."""
    return isinstance(error, UpstreamRejected) and error.reason == "CONTENT_REJECTED"


def block_reason(error: Flow2APIError) -> str:
    """Why a prompt was blocked: the upstream's own word when it is one of Google's."""
    word = error.metadata.get("upstream_reason", "").upper()
    return word if word in _BLOCKED_PROMPT else _USUAL_BLOCK


def blocked_output(error: Flow2APIError) -> str | None:
    """The ``finishReason`` of an output that was blocked; nothing when it was the prompt."""
    word = error.metadata.get("upstream_reason", "").upper()
    return word if word in _BLOCKED_OUTPUT else None
