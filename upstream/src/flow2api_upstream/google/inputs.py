"""Pictures that go into a generation: inside the call, or as files that were uploaded before."""

from flow2api_upstream.google.handles import GoogleMedia
from flow2api_upstream.port import FailureClass, UploadedImage, UpstreamFailure


def uploaded_uri(provider: str, image: UploadedImage) -> GoogleMedia:
    """Where an uploaded picture is. Raises BAD_INPUT for one that lives upstream of somebody else."""
    media = GoogleMedia.read(provider, image.handle) if image.handle is not None else GoogleMedia()
    if not media.uri:
        raise UpstreamFailure(FailureClass.BAD_INPUT, "The upstream needs the picture itself.", reason="image_missing")
    return media
