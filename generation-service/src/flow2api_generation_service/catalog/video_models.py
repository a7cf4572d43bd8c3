"""From flow_clips.toml and video_families.toml to public models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from types import MappingProxyType

from flow2api_generation_service.catalog.files import (
    ClipRow,
    FlowClipsFile,
    VideoFamiliesFile,
    VideoFamilyRow,
    VideoRouteRow,
)
from flow2api_generation_service.catalog.model import Modality, PublicModel, Upsampler, VideoRoute, VideoVariant
from flow2api_generation_service.catalog.prices import PriceBook
from flow2api_upstream.port import AccountTier, VideoKind

# docs/upstream/flow.md, section 9.
DEADLINE_SECONDS = 15 * 60
DEADLINE_4K_SECONDS = 45 * 60

# docs/upstream/flow.md, sections 14 and 19: what Omni sends as soon as there are reference pictures.
OMNI_REFERENCES_KEY = "abra_r2v_8s"

FLOW_CREATE_DATE = date(2026, 1, 26)

_TYPE_TITLES = {
    "t2v": "text to video",
    "i2v": "frames to video",
    "r2v": "references to video",
    "omni": "text or references to video",
    "extend": "continues a clip",
}
_ALL_TIERS = tuple(AccountTier)
_NO_CREDITS = MappingProxyType(dict.fromkeys(_ALL_TIERS, 0))


def video_models(clips: FlowClipsFile, families: VideoFamiliesFile, prices: PriceBook) -> Iterator[PublicModel]:
    """Every video id of both files. A family that has the id of a row takes its place."""
    builder = _Builder(clips, prices)
    named = {family.name for family in families.families}
    for row in clips.clips.rows:
        if row.id not in named:
            yield builder.clip_model(row)
    for base in clips.base_ids.rows:
        rows = [clips.clips_by_id[base.landscape], clips.clips_by_id[base.portrait]]
        yield builder.rows_model(base.id, rows, is_fixed=False)
    for family in families.families:
        yield builder.family_model(family)


def first_frame_key(key: str) -> str:
    """The key for one frame, from that for two: without ``_fl`` (docs/upstream/flow.md, section 14)."""
    return key.removesuffix("_fl").replace("_fl_", "_")


class _Builder:
    def __init__(self, file: FlowClipsFile, prices: PriceBook) -> None:
        self._file = file
        self._prices = prices

    def clip_model(self, row: ClipRow) -> PublicModel:
        if row.portrait is None:
            return self.rows_model(row.id, [row], is_fixed=True)
        return self.rows_model(row.id, [row, self._file.clips_by_id[row.portrait]], is_fixed=False)

    def rows_model(self, model_id: str, rows: list[ClipRow], *, is_fixed: bool) -> PublicModel:
        route = VideoRoute("flow", rows[0].key or model_id, tuple(self._variants(rows)))
        return _model(
            model_id=model_id,
            display_name=model_id,
            description=f"Flow, {_TYPE_TITLES[rows[0].type]}, {rows[0].seconds} s.",
            create_date=FLOW_CREATE_DATE,
            routes=(route,),
            is_fixed=is_fixed,
        )

    def family_model(self, family: VideoFamilyRow) -> PublicModel:
        return _model(
            model_id=family.name,
            display_name=family.display_name,
            description=family.description,
            create_date=family.create_date,
            routes=tuple(self._route(family, row) for row in family.routes),
            is_fixed=False,
        )

    def _route(self, family: VideoFamilyRow, row: VideoRouteRow) -> VideoRoute:
        if row.clips:
            rows = [self._file.clips_by_id[clip] for clip in row.clips]
            # Many upstream models together; the family's name is none of theirs, so that each can be switched alone.
            return VideoRoute(row.provider, family.name, tuple(self._variants(rows)))
        price = self._prices.find(row.provider, row.upstream_model)
        unpriced = {
            resolution
            for ability in row.abilities
            for resolution in ability.resolutions
            if price and not price.has(resolution, is_video=True)
        }
        if unpriced:
            raise ValueError(f"prices.toml lacks {row.provider} {row.upstream_model} in {', '.join(sorted(unpriced))}")
        return VideoRoute(row.provider, row.upstream_model, tuple(_official_variants(row)), price)

    def _variants(self, rows: Iterable[ClipRow]) -> Iterator[VideoVariant]:
        for row in rows:
            low, high = row.images
            match row.type:
                case "t2v":
                    yield self._variant(row, VideoKind.TEXT, 0, 0)
                case "i2v":
                    if low == 1:
                        yield self._variant(row, VideoKind.FIRST_FRAME, 1, 1)
                    if high == 2:
                        yield self._variant(row, VideoKind.FIRST_AND_LAST_FRAME, 2, 2)
                case "r2v":
                    # The table allows none; whether the upstream does is doubtful, so it is refused (section 14).
                    yield self._variant(row, VideoKind.REFERENCES, 1, high)
                case "omni":
                    yield self._variant(row, VideoKind.TEXT, 0, 0)
                    yield self._variant(row, VideoKind.REFERENCES, 1, high)
                case "extend":
                    yield self._variant(row, VideoKind.EXTEND, 0, 0)

    def _variant(self, row: ClipRow, kind: VideoKind, low: int, high: int) -> VideoVariant:
        grade = self._file.grades[row.grade]
        upsampler = self._upsampler(row)
        models = {tier: key for tier in _ALL_TIERS if tier >= row.min_tier and (key := _key(row, kind, tier))}
        prices = {tier: grade.credits_tier_two if tier is AccountTier.TWO else grade.credits for tier in models}
        return VideoVariant(
            kind=kind,
            min_images=low,
            max_images=high,
            aspect_ratio=row.aspect_ratio,
            durations_seconds=(row.seconds,),
            resolution=row.upsampler or "720p",
            upstream_models=MappingProxyType(models),
            min_tier=row.min_tier,
            credits_by_tier=MappingProxyType(prices),
            typical_seconds=grade.typical_seconds,
            upsampler=upsampler,
        )

    def _upsampler(self, row: ClipRow) -> Upsampler | None:
        if row.upsampler is None:
            return None
        upsampler = self._file.upsamplers[row.upsampler]
        return Upsampler(upsampler.key, row.upsampler, upsampler.credits, upsampler.typical_seconds)


def _key(row: ClipRow, kind: VideoKind, tier: AccountTier) -> str | None:
    if row.type == "omni" and kind is VideoKind.REFERENCES:
        return OMNI_REFERENCES_KEY
    key = (row.key_tier_two or row.key) if tier is AccountTier.TWO else row.key
    if key is not None and kind is VideoKind.FIRST_FRAME:
        return first_frame_key(key)
    return key


def _official_variants(row: VideoRouteRow) -> Iterator[VideoVariant]:
    models = MappingProxyType(dict.fromkeys(_ALL_TIERS, row.upstream_model))
    for ability in row.abilities:
        for resolution in ability.resolutions:
            for aspect_ratio in ("16:9", "9:16"):
                yield VideoVariant(
                    kind=ability.kind,
                    min_images=ability.images[0],
                    max_images=ability.images[1],
                    aspect_ratio=aspect_ratio,
                    durations_seconds=ability.seconds,
                    resolution=resolution,
                    upstream_models=models,
                    min_tier=AccountTier.UNSPECIFIED,
                    credits_by_tier=_NO_CREDITS,
                    typical_seconds=row.typical_seconds,
                )


def _model(
    *,
    model_id: str,
    display_name: str,
    description: str,
    create_date: date,
    routes: tuple[VideoRoute, ...],
    is_fixed: bool,
) -> PublicModel:
    variants = [variant for route in routes for variant in route.variants]
    resolutions = tuple(dict.fromkeys(variant.resolution for variant in variants))
    durations = tuple(dict.fromkeys(seconds for variant in variants for seconds in variant.durations_seconds))
    first = variants[0]
    return PublicModel(
        model_id=model_id,
        modality=Modality.VIDEO,
        display_name=display_name,
        description=description,
        create_date=create_date,
        aspect_ratios=tuple(dict.fromkeys(variant.aspect_ratio for variant in variants)),
        durations_seconds=durations,
        resolutions=resolutions,
        min_input_images=min(variant.min_images for variant in variants),
        max_input_images=max(variant.max_images for variant in variants),
        routes=routes,
        typical_duration_seconds=first.typical_seconds + (first.upsampler.typical_seconds if first.upsampler else 0),
        deadline_seconds=deadline_seconds(resolutions[0]),
        is_fixed=is_fixed,
    )


def deadline_seconds(resolution: str) -> int:
    """When a clip of this resolution is given up."""
    return DEADLINE_4K_SECONDS if resolution == "4k" else DEADLINE_SECONDS
