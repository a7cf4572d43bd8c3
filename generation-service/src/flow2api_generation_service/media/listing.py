"""The stored files of an API key, page by page."""

from __future__ import annotations

import re
from typing import Final

from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.media.service import MediaService, media_to_grpc
from flow2api_proto.generation.v1 import generation_service_pb2

_USUAL_PAGE: Final = 20
_LARGEST_PAGE: Final = 100
_MEDIA_ID: Final = re.compile(r"[0-9a-z]{1,64}")


async def media_page(
    request: generation_service_pb2.ListMediaRequest, media: MediaService
) -> generation_service_pb2.ListMediaResponse:
    """One page, newest first; its token is the last id shown. Raises InvalidArgument naming the field."""
    if not request.api_key_id:
        raise InvalidArgument.of("api_key_id", "The API key is missing.")
    if not 0 <= request.page_size <= _LARGEST_PAGE:
        raise InvalidArgument.of("page_size", f"A page has 1 to {_LARGEST_PAGE} files.")
    if request.page_token and not _MEDIA_ID.fullmatch(request.page_token):
        raise InvalidArgument.of("page_token", "The page token is not one of ours.")
    size = request.page_size or _USUAL_PAGE
    rows = await media.list_own(request.api_key_id, before=request.page_token, limit=size + 1)
    shown = rows[:size]
    return generation_service_pb2.ListMediaResponse(
        media=[media_to_grpc(row) for row in shown],
        next_page_token=shown[-1].media_id if len(rows) > size else "",
    )
