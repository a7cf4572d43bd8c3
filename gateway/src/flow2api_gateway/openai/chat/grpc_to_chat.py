"""Pictures, clips and their progress as chat answers.

Source: docs/upstream/openai.md, section 6.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

from flow2api_common.ids import new_id
from flow2api_gateway.edge.event_stream import data_event
from flow2api_proto.generation.v1 import image_pb2, video_pb2

_STAGES: Final = {
    image_pb2.IMAGE_STAGE_QUEUED: "waiting for an account",
    image_pb2.IMAGE_STAGE_LEASED: "account found",
    image_pb2.IMAGE_STAGE_UPLOADING: "uploading pictures",
    image_pb2.IMAGE_STAGE_GENERATING: "generating",
    image_pb2.IMAGE_STAGE_UPSCALING: "upscaling",
    image_pb2.IMAGE_STAGE_STORING: "storing",
}
_STATES: Final = {
    video_pb2.VIDEO_STATE_QUEUED: "queued",
    video_pb2.VIDEO_STATE_SUBMITTING: "submitting",
    video_pb2.VIDEO_STATE_IN_PROGRESS: "generating",
    video_pb2.VIDEO_STATE_UPSCALING: "upscaling",
    video_pb2.VIDEO_STATE_STORING: "storing",
    video_pb2.VIDEO_STATE_COMPLETED: "done",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of an answer that is not streamed."""

    content: str | None
    refusal: str | None = None
    finish_reason: str = "stop"
    notes: str = ""


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What all parts of one answer have in common."""

    model: str
    includes_usage: bool = False
    completion_id: str = field(default_factory=lambda: f"chatcmpl-{new_id()}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, delta: dict[str, Any], *, index: int = 0, finish_reason: str | None = None) -> bytes:
        """One event of a stream."""
        choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
        document = self._document("chat.completion.chunk", [choice])
        if self.includes_usage:
            document["usage"] = None
        return data_event(document)

    def usage_chunk(self, usage: image_pb2.Usage) -> bytes:
        """The last event before the end, for those who asked for it."""
        return data_event(self._document("chat.completion.chunk", []) | {"usage": chat_usage(usage)})

    def completion(self, choices: dict[int, Choice], usage: image_pb2.Usage, *, url: str) -> dict[str, Any]:
        """The whole answer at once. ``url`` beside the choices is the form of the original."""
        rendered = [_choice(index, choices[index]) for index in sorted(choices)]
        return self._document("chat.completion", rendered) | {"usage": chat_usage(usage), "url": url}

    def _document(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.completion_id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def chat_usage(usage: image_pb2.Usage) -> dict[str, Any]:
    """What the upstream counted; zero where it counts nothing."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens + usage.thought_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens + usage.thought_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.thought_tokens},
    }


def image_content(image: image_pb2.GeneratedImage, url: str) -> str:
    """A picture as Markdown, after what the model said with it."""
    picture = f"![Generated Image]({url})"
    return f"{image.text.strip()}\n\n{picture}" if image.text.strip() else picture


def video_content(url: str) -> str:
    """A clip as the original writes it: a player in a fenced block."""
    return f"```html\n<video src='{url}' controls></video>\n```"


def image_progress_text(event: image_pb2.GenerateImageResponse, *, image_count: int) -> str:
    """One line about a step of a picture."""
    progress = event.progress
    which = f"image {event.image_index + 1}: " if image_count > 1 else ""
    again = f" (attempt {progress.attempt})" if progress.attempt > 1 else ""
    return f"{which}{_STAGES.get(progress.stage, 'working')} {progress.progress_percent} %{again}\n"


def video_progress_text(video: video_pb2.Video) -> str:
    """One line about a job."""
    if video.state == video_pb2.VIDEO_STATE_QUEUED and video.queue_position > 0:
        return f"queued, {video.queue_position} before this one\n"
    return f"{_STATES.get(video.state, 'working')} {video.progress_percent} %\n"


def _choice(index: int, choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.content, "refusal": choice.refusal}
    if choice.notes:
        message["reasoning_content"] = choice.notes
    return {"index": index, "message": message, "finish_reason": choice.finish_reason, "logprobs": None}
