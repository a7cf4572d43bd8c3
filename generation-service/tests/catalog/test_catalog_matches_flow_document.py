"""Every public id of docs/upstream/flow.md, section 19, is in the catalog with the facts of its row."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from flow2api_generation_service.catalog.catalog import Catalog, load_catalog
from flow2api_generation_service.catalog.image_plan import ImageFacts
from flow2api_generation_service.catalog.model import Modality
from flow2api_generation_service.catalog.video_kinds import ImageRole
from flow2api_generation_service.catalog.video_models import first_frame_key
from flow2api_generation_service.catalog.video_plan import VideoFacts, VideoPlan
from flow2api_upstream.port import AccountTier, VideoKind

DOCUMENT = Path(__file__).parents[3] / "docs" / "upstream" / "flow.md"

DASH = "\N{EN DASH}"

RATIOS = {
    "…_LANDSCAPE": "16:9",
    "…_PORTRAIT": "9:16",
    "…_SQUARE": "1:1",
    "…_LANDSCAPE_FOUR_THREE": "4:3",
    "…_PORTRAIT_THREE_FOUR": "3:4",
}
TIERS = {DASH: AccountTier.UNSPECIFIED, "ONE": AccountTier.ONE, "TWO": AccountTier.TWO}
PAYING = {"t2v": VideoKind.TEXT, "r2v": VideoKind.REFERENCES, "extend": VideoKind.EXTEND, "omni": VideoKind.TEXT}


class ImageLine(NamedTuple):
    id: str
    upstream_model: str
    ratio: str
    upsample: str
    tier: str


class VideoLine(NamedTuple):
    id: str
    type: str
    orientation: str
    images: str
    seconds: str
    key: str
    key_tier_two: str
    upsampler: str
    tier: str

    @property
    def counts(self) -> range:
        if self.images == "source clip":
            return range(1)
        low, _, high = self.images.partition(DASH)
        return range(int(low), int(high or low) + 1)

    @property
    def tier_two(self) -> str:
        return self.key if self.key_tier_two == "same" else self.key_tier_two


def table(title: str) -> list[list[str]]:
    section = DOCUMENT.read_text(encoding="utf-8").split("\n## 19.")[1]
    part = section.split(f"\n### {title}\n")[1].split("\n### ")[0]
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("| `")
    ]


IMAGES = [ImageLine(*cells) for cells in table("Images")]
VIDEOS = [VideoLine(*cells) for cells in table("Videos")]


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def plan(catalog: Catalog, line: VideoLine, image_count: int) -> VideoPlan:
    return catalog.plan_video(
        VideoFacts(model_id=line.id, roles=(ImageRole.UNSPECIFIED,) * image_count, has_source=line.type == "extend")
    )


def test_the_document_has_all_ids() -> None:
    assert len(IMAGES) == 32
    assert len(VIDEOS) == 182


@pytest.mark.parametrize("line", IMAGES, ids=lambda line: line.id)
def test_image_id(catalog: Catalog, line: ImageLine) -> None:
    plan = catalog.plan_image(ImageFacts(model_id=line.id))
    option = plan.options[0]
    model = catalog.resolve(line.id)
    assert model.modality is Modality.IMAGE
    assert model.alias_of == ""
    assert model.aspect_ratios == (RATIOS[line.ratio],)
    assert option.provider == "flow"
    assert option.upstream_model == line.upstream_model
    assert option.aspect_ratio == RATIOS[line.ratio]
    assert option.generate_resolution == "1K"
    assert option.upscale_to == (None if line.upsample == DASH else line.upsample)
    assert option.min_tier is TIERS[line.tier]


@pytest.mark.parametrize("line", VIDEOS, ids=lambda line: line.id)
def test_video_id(catalog: Catalog, line: VideoLine) -> None:
    model = catalog.resolve(line.id)
    assert model.modality is Modality.VIDEO
    assert model.alias_of == ""
    assert model.aspect_ratios[0] == ("9:16" if line.orientation == "P" else "16:9")
    assert model.durations_seconds[0] == int(line.seconds)
    assert model.max_input_images == max(line.counts)
    # With no picture the reference models are doubtful, so that the catalog refuses it (section 14).
    assert model.min_input_images == max(min(line.counts), 1 if line.type == "r2v" else 0)
    for count in line.counts:
        if line.type == "r2v" and count == 0:
            continue
        check_plan(plan(catalog, line, count), line, count)


def check_plan(found: VideoPlan, line: VideoLine, count: int) -> None:
    option = found.options[0]
    assert option.provider == "flow"
    assert found.kind is expected_kind(line, count)
    assert found.duration_seconds == int(line.seconds)
    assert option.min_tier is TIERS[line.tier]
    assert found.upscale_to == (None if line.upsampler == DASH else line.upsampler)
    assert option.upsampler_model == (None if line.upsampler == DASH else f"veo_3_1_upsampler_{line.upsampler}")
    one, two = line.key, line.tier_two
    if found.kind is VideoKind.FIRST_FRAME:
        one, two = first_frame_key(one), first_frame_key(two)
    if line.type == "omni" and count:
        one = two = "abra_r2v_8s"
    assert option.upstream_model_by_tier[AccountTier.TWO] == two
    if TIERS[line.tier] <= AccountTier.ONE:
        assert option.upstream_model_by_tier[AccountTier.ONE] == one
        assert option.upstream_model == one
    else:
        assert set(option.upstream_model_by_tier) == {AccountTier.TWO}
        assert option.upstream_model == two


def expected_kind(line: VideoLine, count: int) -> VideoKind:
    if line.type == "i2v":
        return VideoKind.FIRST_FRAME if count == 1 else VideoKind.FIRST_AND_LAST_FRAME
    if line.type == "omni" and count:
        return VideoKind.REFERENCES
    return PAYING[line.type]


def test_one_and_two_frames_differ_by_fl(catalog: Catalog) -> None:
    one = catalog.plan_video(VideoFacts("veo_3_1_i2v_s_fast_fl", roles=(ImageRole.UNSPECIFIED,)))
    two = catalog.plan_video(VideoFacts("veo_3_1_i2v_s_fast_fl", roles=(ImageRole.UNSPECIFIED,) * 2))
    assert one.options[0].upstream_model_by_tier[AccountTier.ONE] == "veo_3_1_i2v_s_fast"
    assert one.options[0].upstream_model_by_tier[AccountTier.TWO] == "veo_3_1_i2v_s_fast_ultra"
    assert two.options[0].upstream_model_by_tier[AccountTier.ONE] == "veo_3_1_i2v_s_fast_fl"
    assert two.options[0].upstream_model_by_tier[AccountTier.TWO] == "veo_3_1_i2v_s_fast_ultra_fl"
