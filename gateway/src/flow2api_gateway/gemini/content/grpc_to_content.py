"""Pictures as answers of ``generateContent``. Source: docs/upstream/google-official.md, section 5."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from flow2api_common.clock import utc_now
from flow2api_common.errors import Flow2APIError, UpstreamRejected
from flow2api_common.ids import new_id
from flow2api_gateway.gemini.content.content_to_grpc import ContentForm
from flow2api_gateway.gemini.refusals import block_reason, blocked_output, is_refusal
from flow2api_gateway.generation.images import MadePictures
from flow2api_gateway.media.conversion import convert_picture
from flow2api_proto.generation.v1 import image_pb2

if TYPE_CHECKING:
    from flow2api_gateway.gateway import Gateway

_MAX_BYTES: Final = 64 << 20
_REFUSED: Final = "Unable to show the generated image. The image was filtered out."


@dataclass(slots=True)
class ContentAnswer:
    """Makes the parts of one answer, which all have the same id."""

    gateway: Gateway
    form: ContentForm
    on_vertex: bool = False
    response_id: str = field(default_factory=new_id)
    create_time: datetime = field(default_factory=utc_now)

    async def whole(self, made: MadePictures) -> dict[str, Any]:
        """The answer at once: a candidate per picture, one that failed says why."""
        shown = await asyncio.gather(*(self._parts(image) for image in made.in_order))
        candidates = {
            index: self._candidate(index, parts, "STOP")
            for index, parts in zip(sorted(made.images), shown, strict=True)
        }
        candidates |= {index: self._failed(index, failure) for index, failure in made.failures.items()}
        ordered = [candidates[index] for index in sorted(candidates)]
        return self._document(candidates=ordered, usageMetadata=google_usage(made.usage))

    def refused(self, error: Flow2APIError) -> dict[str, Any]:
        """The answer to content that was refused; it is no error in this API."""
        usage = google_usage(image_pb2.Usage())
        finish_reason = blocked_output(error)
        if finish_reason is not None:
            candidate = {"index": 0, "finishReason": finish_reason, "finishMessage": error.message}
            return self._document(candidates=[candidate], usageMetadata=usage)
        feedback = {"blockReason": block_reason(error), "blockReasonMessage": error.message}
        return self._document(promptFeedback=feedback, usageMetadata=usage)

    async def chunks(
        self, events: AsyncIterator[image_pb2.GenerateImageResponse], write: Callable[[dict[str, Any]], bytes]
    ) -> AsyncIterator[bytes]:
        """The answer as it grows. A refusal ends it as one; other errors leave this iterator."""
        made = MadePictures()
        try:
            async for event in events:
                index = event.image_index
                match event.WhichOneof("event"):
                    case "image":
                        made.images[index] = event.image
                        *before, last = await self._parts(event.image)
                        for part in before:
                            yield write(self._document(candidates=[self._candidate(index, [part], "")]))
                        yield write(
                            self._document(
                                candidates=[self._candidate(index, [last], "STOP")],
                                usageMetadata=google_usage(made.usage),
                            )
                        )
                    case "failure":
                        yield write(self._document(candidates=[self._failed(index, event.failure)]))
        except UpstreamRejected as error:
            if not is_refusal(error):
                raise
            yield write(self.refused(error))

    async def _parts(self, image: image_pb2.GeneratedImage) -> list[dict[str, Any]]:
        media, wanted = image.media, self.form.convert_to
        content = await self.gateway.media_store.get(media.object_key, max_bytes=_MAX_BYTES)
        mime_type = media.content_type
        if wanted is not None and wanted.content_type != mime_type:
            content, mime_type = await convert_picture(content, wanted), wanted.content_type
        encoded = await asyncio.to_thread(base64.b64encode, content)
        picture = {"inlineData": {"mimeType": mime_type, "data": encoded.decode("ascii")}}
        text = image.text.strip()
        return [{"text": text}, picture] if text and self.form.with_text else [picture]

    def _candidate(self, index: int, parts: list[dict[str, Any]], finish_reason: str) -> dict[str, Any]:
        candidate: dict[str, Any] = {"index": index, "content": {"role": "model", "parts": parts}}
        if finish_reason:
            candidate["finishReason"] = finish_reason
        return candidate

    def _failed(self, index: int, failure: image_pb2.ImageFailure) -> dict[str, Any]:
        if failure.reason == "CONTENT_REJECTED":
            return {"index": index, "finishReason": "IMAGE_SAFETY", "finishMessage": failure.message or _REFUSED}
        return {"index": index, "finishReason": "IMAGE_OTHER", "finishMessage": failure.message}

    def _document(self, **members: Any) -> dict[str, Any]:
        document = {**members, "modelVersion": self.form.model, "responseId": self.response_id}
        if self.on_vertex:
            document["createTime"] = self.create_time.isoformat(timespec="microseconds").replace("+00:00", "Z")
            if "usageMetadata" in document:
                document["usageMetadata"] = document["usageMetadata"] | {"trafficType": "ON_DEMAND"}
        return document


def google_usage(usage: image_pb2.Usage) -> dict[str, Any]:
    """What the upstream counted; zero where it counts nothing."""
    by_modality = (("TEXT", usage.input_text_tokens), ("IMAGE", usage.input_image_tokens))
    document: dict[str, Any] = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    prompt = [{"modality": modality, "tokenCount": count} for modality, count in by_modality if count]
    if prompt:
        document["promptTokensDetails"] = prompt
    if usage.output_tokens:
        document["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": usage.output_tokens}]
    return document
