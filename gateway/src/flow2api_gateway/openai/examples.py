"""What requests and answers look like, for the OpenAPI document. A test sends the requests and looks at the answers."""

from __future__ import annotations

from typing import Any, Final

CHAT_REQUEST: Final[dict[str, Any]] = {
    "model": "gemini-3.1-flash-image",
    "messages": [{"role": "user", "content": "a lighthouse at dawn"}],
    "size": "1536x1024",
}
CHAT_ANSWER: Final[dict[str, Any]] = {
    "id": "chatcmpl-9f2c",
    "object": "chat.completion",
    "created": 1767225600,
    "model": "gemini-3.1-flash-image",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "![Generated Image](https://gw.example/media/0k3v?exp=1767830400&sig=Zm9v)",
                "refusal": None,
            },
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 1120, "total_tokens": 1132},
    "url": "https://gw.example/media/0k3v?exp=1767830400&sig=Zm9v",
}
IMAGE_REQUEST: Final[dict[str, Any]] = {
    "model": "gemini-3.1-flash-image",
    "prompt": "a lighthouse at dawn",
    "n": 2,
    "size": "1024x1024",
    "response_format": "url",
}
EDIT_REQUEST: Final[dict[str, Any]] = {
    "model": "gemini-3.1-flash-image",
    "prompt": "the same at night",
    "images": [
        {
            "image_url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAC"
            "hwGA60e6kgAAAABJRU5ErkJggg=="
        }
    ],
}
IMAGES_ANSWER: Final[dict[str, Any]] = {
    "created": 1767225600,
    "data": [{"url": "https://gw.example/media/0k3v?exp=1767830400&sig=Zm9v"}],
    "background": "opaque",
    "output_format": "png",
    "quality": "auto",
    "size": "1024x1024",
    "usage": {
        "input_tokens": 12,
        "output_tokens": 1120,
        "total_tokens": 1132,
        "input_tokens_details": {"text_tokens": 12, "image_tokens": 0},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": 1120},
    },
}
IMAGE_JOB: Final[dict[str, Any]] = {
    "id": "image_0190c2",
    "object": "image.job",
    "status": "queued",
    "model": "gemini-3.1-flash-image",
    "n": 2,
    "progress": 0,
    "created_at": 1767225600,
    "completed_at": None,
    "expires_at": None,
    "error": None,
}
ENDED_IMAGE_JOB: Final[dict[str, Any]] = {
    **IMAGE_JOB,
    "status": "completed",
    "progress": 100,
    "completed_at": 1767225630,
    "expires_at": 1767830430,
    **IMAGES_ANSWER,
}
IMAGE_JOB_LIST: Final[dict[str, Any]] = {
    "object": "list",
    "data": [IMAGE_JOB],
    "first_id": "image_0190c2",
    "last_id": "image_0190c2",
    "has_more": False,
}
DELETED_IMAGE_JOB: Final[dict[str, Any]] = {"id": "image_0190c2", "object": "image.job.deleted", "deleted": True}
VIDEO_REQUEST: Final[dict[str, Any]] = {
    "model": "veo-3.1-fast",
    "prompt": "waves against a pier",
    "seconds": "8",
    "size": "1280x720",
}
VIDEO: Final[dict[str, Any]] = {
    "id": "video_0190c2",
    "object": "video",
    "model": "veo-3.1-fast",
    "status": "completed",
    "progress": 100,
    "created_at": 1767225600,
    "completed_at": 1767225660,
    "expires_at": 1767830460,
    "prompt": "waves against a pier",
    "seconds": "8",
    "size": "1280x720",
    "remixed_from_video_id": None,
    "error": None,
}
VIDEO_LIST: Final[dict[str, Any]] = {
    "object": "list",
    "data": [VIDEO],
    "first_id": "video_0190c2",
    "last_id": "video_0190c2",
    "has_more": False,
}
DELETED_VIDEO: Final[dict[str, Any]] = {"id": "video_0190c2", "object": "video.deleted", "deleted": True}
MODEL: Final[dict[str, Any]] = {
    "id": "veo-3.1-fast",
    "object": "model",
    "created": 1767225600,
    "owned_by": "flow2api",
    "kind": "video",
    "aspect_ratios": ["16:9", "9:16"],
    "durations_seconds": [8, 4, 6],
}
MODEL_LIST: Final[dict[str, Any]] = {"object": "list", "data": [MODEL]}
