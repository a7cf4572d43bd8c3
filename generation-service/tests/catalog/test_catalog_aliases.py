"""Old ids, other spellings, base names and short names."""

from __future__ import annotations

import pytest

from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_generation_service.catalog.catalog import Catalog, load_catalog
from flow2api_generation_service.catalog.image_plan import ImageFacts
from flow2api_generation_service.catalog.model import Modality
from flow2api_generation_service.catalog.video_kinds import ImageRole
from flow2api_generation_service.catalog.video_plan import VideoFacts

RETIRED = {
    "gemini-2.5-flash-image-{}": "gemini-3.1-flash-image-{}",
    "veo_2_1_fast_d_15_t2v_{}": "veo_3_1_t2v_fast_{}",
    "veo_2_0_t2v_{}": "veo_3_1_t2v_{}",
    "veo_2_0_i2v_{}": "veo_3_1_i2v_s_{}",
    "veo_3_0_r2v_fast_{}": "veo_3_1_r2v_fast_{}",
}
RETIRED_FRAMES = ("veo_3_1_i2v_s_fast_fl_{}", "veo_2_1_fast_d_15_i2v_{}")
FRAMES = {"landscape": "veo_3_1_i2v_s_fast_fl", "portrait": "veo_3_1_i2v_s_fast_portrait_fl"}
RATIOS = {"landscape": "16:9", "portrait": "9:16"}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.mark.parametrize("orientation", ["landscape", "portrait"])
class TestRetiredIds:
    @pytest.mark.parametrize(("old", "new"), RETIRED.items())
    def test_stands_for_its_successor(self, catalog: Catalog, old: str, new: str, orientation: str) -> None:
        model = catalog.resolve(old.format(orientation))
        assert model.alias_of == new.format(orientation)
        assert model.shutdown_date is not None
        assert model.aspect_ratios == (RATIOS[orientation],)

    @pytest.mark.parametrize("old", RETIRED_FRAMES)
    def test_frames_stand_for_the_fl_pair(self, catalog: Catalog, old: str, orientation: str) -> None:
        model = catalog.resolve(old.format(orientation))
        assert model.alias_of == FRAMES[orientation]
        assert model.shutdown_date is not None

    @pytest.mark.parametrize("old", RETIRED_FRAMES)
    def test_orientation_stays_whatever_is_asked(self, catalog: Catalog, old: str, orientation: str) -> None:
        other = (720, 1280) if orientation == "landscape" else (1280, 720)
        plan = catalog.plan_video(
            VideoFacts(old.format(orientation), roles=(ImageRole.UNSPECIFIED,), size=other, aspect_ratio="")
        )
        assert plan.aspect_ratio == RATIOS[orientation]


def test_unknown_id(catalog: Catalog) -> None:
    with pytest.raises(NotFound) as raised:
        catalog.resolve("sora-2")
    assert raised.value.reason == "MODEL_NOT_FOUND"


def test_all_ids_are_unique_and_aliases_point_at_own_ids(catalog: Catalog) -> None:
    ids = {model.model_id for model in catalog.models}
    assert len(ids) == len(catalog.models)
    own = {model.model_id for model in catalog.models if not model.alias_of}
    assert {model.alias_of for model in catalog.models if model.alias_of} <= own


@pytest.mark.parametrize(
    ("model_id", "modality", "providers"),
    [
        ("gemini-3.1-flash-image", Modality.IMAGE, ["flow", "gemini", "vertex"]),
        ("gemini-3.0-pro-image", Modality.IMAGE, ["flow", "gemini", "vertex"]),
        ("gemini-3-pro-image", Modality.IMAGE, ["flow", "gemini", "vertex"]),
        ("gemini-nano-banana-2.1", Modality.IMAGE, ["gemini", "vertex"]),
        ("gemini-3.1-flash-lite-image", Modality.IMAGE, ["gemini", "vertex"]),
        ("imagen-4.0-generate-preview", Modality.IMAGE, ["flow"]),
        ("veo-3.1", Modality.VIDEO, ["vertex", "flow"]),
        ("veo-3.1-fast", Modality.VIDEO, ["vertex", "flow"]),
        ("veo-3.1-lite", Modality.VIDEO, ["vertex", "flow"]),
        ("omni", Modality.VIDEO, ["flow", "gemini", "vertex"]),
        ("gemini-omni-1.1-flash", Modality.VIDEO, ["gemini", "vertex"]),
        ("gemini-omni-1.2-flash", Modality.VIDEO, ["gemini"]),
        ("veo_3_1_t2v_fast", Modality.VIDEO, ["flow"]),
    ],
)
def test_short_names_have_their_routes_in_order(
    catalog: Catalog, model_id: str, modality: Modality, providers: list[str]
) -> None:
    model = catalog.resolve(model_id)
    assert model.modality is modality
    assert [route.provider for route in model.routes] == providers


@pytest.mark.parametrize(("size", "ratio"), [((1280, 720), "16:9"), ((720, 1280), "9:16"), (None, "16:9")])
@pytest.mark.parametrize("model_id", ["veo_3_1_t2v_fast", "veo_3_1_t2v", "veo_3_1_t2v_lite", "omni", "veo-3.1-fast"])
def test_base_name_takes_the_orientation_of_the_request(
    catalog: Catalog, model_id: str, size: tuple[int, int] | None, ratio: str
) -> None:
    plan = catalog.plan_video(VideoFacts(model_id, size=size))
    assert plan.aspect_ratio == ratio


def test_base_name_without_own_row_takes_the_key_of_its_portrait_row(catalog: Catalog) -> None:
    plan = catalog.plan_video(VideoFacts("veo_3_1_t2v_fast", aspect_ratio="portrait"))
    assert plan.options[0].upstream_model == "veo_3_1_t2v_fast_portrait"


def test_image_and_video_models_are_not_mixed_up(catalog: Catalog) -> None:
    with pytest.raises(InvalidArgument, match="makes videos"):
        catalog.plan_image(ImageFacts("omni"))
    with pytest.raises(InvalidArgument, match="makes images"):
        catalog.plan_video(VideoFacts("gemini-3.1-flash-image"))
