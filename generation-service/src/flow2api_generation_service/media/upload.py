"""Reading an upload from its messages."""

from __future__ import annotations

from collections.abc import AsyncIterator

from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.service import MediaService
from flow2api_proto.generation.v1 import generation_service_pb2


async def receive_upload(
    messages: AsyncIterator[generation_service_pb2.UploadMediaRequest], media: MediaService
) -> MediaRow:
    """Store what a client sends: first the description, then the bytes. Raises InvalidArgument."""
    stream = aiter(messages)
    first = await anext(stream, None)
    if first is None or first.WhichOneof("part") != "description":
        raise InvalidArgument.of("description", "An upload begins with its description.")
    return await media.save_upload(
        _chunks(stream), api_key_id=first.description.api_key_id, file_name=first.description.file_name
    )


async def _chunks(messages: AsyncIterator[generation_service_pb2.UploadMediaRequest]) -> AsyncIterator[bytes]:
    async for message in messages:
        if message.WhichOneof("part") != "chunk":
            raise InvalidArgument.of("chunk", "After the description only bytes follow.")
        yield message.chunk
