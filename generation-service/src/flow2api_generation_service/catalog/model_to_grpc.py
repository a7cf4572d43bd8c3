"""A public model as services tell it each other."""

from __future__ import annotations

from datetime import UTC, datetime, time

from flow2api_generation_service.catalog.model import Modality, PublicModel
from flow2api_proto.generation.v1 import model_pb2

_MODALITIES = {
    Modality.IMAGE: model_pb2.MODALITY_IMAGE,
    Modality.VIDEO: model_pb2.MODALITY_VIDEO,
}


def model_to_grpc(model: PublicModel) -> model_pb2.Model:
    """The description of a model."""
    message = model_pb2.Model(
        model_id=model.model_id,
        display_name=model.display_name,
        description=model.description,
        modality=_MODALITIES[model.modality],
        alias_of=model.alias_of,
        shutdown_date=model.shutdown_date.isoformat() if model.shutdown_date else "",
        aspect_ratios=model.aspect_ratios,
        durations_seconds=model.durations_seconds,
        resolutions=model.resolutions,
        min_input_images=model.min_input_images,
        max_input_images=model.max_input_images,
        routes=[
            model_pb2.Route(provider=route.provider, upstream_model=route.upstream_model, enabled=is_on)
            for is_on, routes in ((True, model.routes), (False, model.off_routes))
            for route in routes
        ],
    )
    message.create_time.FromDatetime(datetime.combine(model.create_date, time.min, tzinfo=UTC))
    return message
