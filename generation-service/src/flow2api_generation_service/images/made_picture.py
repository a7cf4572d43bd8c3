"""A picture that was made, as the client is told of it."""

from __future__ import annotations

from flow2api_generation_service.images.picture import MadePicture
from flow2api_generation_service.media.service import media_to_grpc
from flow2api_proto.generation.v1 import image_pb2


def image_of(made: MadePicture, model_id: str) -> image_pb2.GeneratedImage:
    """The message; ``model_id`` is the public id that was served."""
    usage = made.result.usage
    return image_pb2.GeneratedImage(
        media=media_to_grpc(made.row),
        text=made.result.text,
        seed=made.seed,
        model_id=model_id,
        usage=image_pb2.Usage(
            input_tokens=usage.input_tokens,
            input_text_tokens=usage.input_text_tokens,
            input_image_tokens=usage.input_image_tokens,
            output_tokens=usage.output_tokens,
        ),
        warning=made.warning,
    )
