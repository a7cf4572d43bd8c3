"""From a job of the table back to the ways to serve it, as the catalog is now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.catalog.video_kinds import ImageRole
from flow2api_generation_service.catalog.video_plan import VideoFacts, VideoOption, VideoPlan
from flow2api_generation_service.videos.models import JobInputImageRow, JobRow
from flow2api_proto.generation.v1 import media_pb2
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_upstream.port import AccountTier

_IMAGE_ROLES = {
    media_pb2.INPUT_IMAGE_ROLE_UNSPECIFIED: ImageRole.UNSPECIFIED,
    media_pb2.INPUT_IMAGE_ROLE_FIRST_FRAME: ImageRole.FIRST_FRAME,
    media_pb2.INPUT_IMAGE_ROLE_LAST_FRAME: ImageRole.LAST_FRAME,
    media_pb2.INPUT_IMAGE_ROLE_REFERENCE: ImageRole.REFERENCE,
}

_PROTO_TIERS = {
    AccountTier.UNSPECIFIED: token_pb2.TIER_UNSPECIFIED,
    AccountTier.NOT_PAID: token_pb2.TIER_NOT_PAID,
    AccountTier.ONE: token_pb2.TIER_ONE,
    AccountTier.TWO: token_pb2.TIER_TWO,
}


@dataclass(frozen=True, slots=True)
class SourceClip:
    """A finished clip that a job continues: it lives on one token of one provider."""

    provider: str
    token_id: int
    result_handle: str


def role_of(role: int) -> ImageRole:
    """The catalog's word for a role of the contract; one that is not known leaves the choice to the model."""
    return next((ours for theirs, ours in _IMAGE_ROLES.items() if theirs == role), ImageRole.UNSPECIFIED)


def plan_of(
    catalog: Catalog, job: JobRow, images: Sequence[JobInputImageRow], source: SourceClip | None = None
) -> VideoPlan:
    """How to make the clip of a job that was accepted before, by the routes that are on now, if any is, and by the
    provider that has its source where there is one.

    Raises what the catalog raises when its model has changed.
    """
    return catalog.plan_accepted_video(
        VideoFacts(
            model_id=job.model_id,
            roles=tuple(role_of(image.role) for image in images),
            aspect_ratio=job.aspect_ratio,
            duration_seconds=job.duration_seconds,
            resolution=job.resolution,
            has_source=job.source_video_id is not None,
            source_provider=source.provider if source else "",
        )
    )


def lease_candidates(options: Sequence[VideoOption], source: SourceClip | None) -> list[token_pb2.LeaseCandidate]:
    """What a token must be able to do, one row per option."""
    return [
        token_pb2.LeaseCandidate(
            provider=option.provider,
            upstream_model=option.upstream_model,
            min_tier=_PROTO_TIERS[option.min_tier],
            credits=option.least_credits,
            affinity_token_id=source.token_id if source else 0,
        )
        for option in options
    ]


def upstream_model_for(option: VideoOption, tier: AccountTier) -> str:
    """What an account of this tier sends. A tier that the table lacks sends what the next lower one does."""
    known = [each for each in option.upstream_model_by_tier if each <= tier]
    return option.upstream_model_by_tier[max(known)] if known else option.upstream_model
