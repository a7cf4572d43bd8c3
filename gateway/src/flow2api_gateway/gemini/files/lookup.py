"""Which stored file a name means: the id of a file, or of the clip of a video.

A clip is named by its video, so that its URI can be given back to extend it. The names have lower-case letters and
digits only, because the google-genai SDK cuts them at anything else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flow2api_common.errors import FailedPrecondition, NotFound
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.generation.videos import get_video
from flow2api_proto.generation.v1 import generation_service_pb2, media_pb2, video_pb2

if TYPE_CHECKING:
    from flow2api_gateway.gateway import Gateway

_VIDEO_FILE = re.compile(r"video(?P<digits>[0-9a-f]{1,64})")


def file_of_video(video_id: str) -> str:
    """The id of the file that is the clip of a video."""
    return video_id.replace("_", "", 1)


def video_of_file(file_id: str) -> str | None:
    """The id of the video whose clip the file is; nothing for other files."""
    match = _VIDEO_FILE.fullmatch(file_id)
    return f"video_{match['digits']}" if match else None


async def find_file(gateway: Gateway, name: str, *, api_key_id: str) -> tuple[str, media_pb2.Media]:
    """The id and the file of a key. Raises NotFound MEDIA_NOT_FOUND, FailedPrecondition VIDEO_NOT_READY.

    Of a name with slashes the last step counts: on a gateway without TLS the SDK sends a whole URI as the name.
    """
    file_id = name.rpartition("/")[2].partition(":")[0]
    video_id = video_of_file(file_id)
    if video_id is not None:
        return file_id, await _clip(gateway, video_id, api_key_id)
    request = generation_service_pb2.GetMediaRequest(media_id=file_id, api_key_id=api_key_id)
    with rpc_errors("generation"):
        answer = await gateway.peers.generation.GetMedia(request)
    return file_id, answer.media


async def _clip(gateway: Gateway, video_id: str, api_key_id: str) -> media_pb2.Media:
    try:
        video = await get_video(gateway.peers.generation, video_id, api_key_id=api_key_id)
    except NotFound as exc:
        raise _not_found() from exc
    if video.state == video_pb2.VIDEO_STATE_COMPLETED and video.media.media_id:
        media = media_pb2.Media()
        media.CopyFrom(video.media)
        media.generated = True
        return media
    if video.state < video_pb2.VIDEO_STATE_COMPLETED:
        raise FailedPrecondition("The video is not ready yet.", reason="VIDEO_NOT_READY")
    raise _not_found()


def _not_found() -> NotFound:
    return NotFound("You do not have permission to access the File or it may not exist.", reason="MEDIA_NOT_FOUND")
