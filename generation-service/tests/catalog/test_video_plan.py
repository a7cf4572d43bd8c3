"""What a request for a clip becomes."""

from __future__ import annotations

import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.catalog.catalog import Catalog, load_catalog
from flow2api_generation_service.catalog.video_kinds import ImageRole
from flow2api_generation_service.catalog.video_plan import VideoFacts, VideoOption
from flow2api_upstream.port import AccountTier, VideoKind

ANY = ImageRole.UNSPECIFIED
FIRST = ImageRole.FIRST_FRAME
LAST = ImageRole.LAST_FRAME
REFERENCE = ImageRole.REFERENCE


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def flow_option(catalog: Catalog, facts: VideoFacts) -> VideoOption:
    return next(option for option in catalog.plan_video(facts).options if option.provider == "flow")


def violation(catalog: Catalog, facts: VideoFacts) -> str:
    with pytest.raises(InvalidArgument) as raised:
        catalog.plan_video(facts)
    return raised.value.violations[0].field


class TestKinds:
    @pytest.mark.parametrize(
        ("roles", "kind", "order"),
        [
            ((), VideoKind.TEXT, ()),
            ((ANY,), VideoKind.FIRST_FRAME, (0,)),
            ((ANY, ANY), VideoKind.FIRST_AND_LAST_FRAME, (0, 1)),
            ((LAST, FIRST), VideoKind.FIRST_AND_LAST_FRAME, (1, 0)),
            ((LAST, ANY), VideoKind.FIRST_AND_LAST_FRAME, (1, 0)),
            ((FIRST, ANY), VideoKind.FIRST_AND_LAST_FRAME, (0, 1)),
            ((ANY, ANY, ANY), VideoKind.REFERENCES, (0, 1, 2)),
            ((REFERENCE,), VideoKind.REFERENCES, (0,)),
        ],
    )
    def test_short_name_takes_the_kind_that_the_pictures_say(
        self, catalog: Catalog, roles: tuple[ImageRole, ...], kind: VideoKind, order: tuple[int, ...]
    ) -> None:
        plan = catalog.plan_video(VideoFacts("veo-3.1-fast", roles=roles))
        assert (plan.kind, plan.image_order) == (kind, order)

    @pytest.mark.parametrize(
        ("model_id", "roles"),
        [
            ("veo_3_1_t2v_fast", (ANY,)),
            ("veo_3_1_i2v_s_fast_fl", ()),
            ("veo_3_1_i2v_s_fast_fl", (ANY, ANY, ANY)),
            ("veo_3_1_i2v_s_fast_fl", (REFERENCE,)),
            ("veo_3_1_i2v_lite_landscape", (ANY, ANY)),
            ("veo_3_1_interpolation_lite_landscape", (ANY,)),
            ("veo_3_1_r2v_fast", ()),
            ("veo_3_1_r2v_fast", (FIRST,)),
            ("veo_3_1_r2v_fast", (ANY, ANY, ANY, ANY)),
            ("omni", (ANY, ANY, ANY, ANY)),
            ("veo-3.1-fast", (LAST,)),
            ("veo-3.1-fast", (FIRST, REFERENCE)),
            ("veo-3.1-fast", (FIRST, FIRST)),
        ],
    )
    def test_wrong_pictures_are_refused(self, catalog: Catalog, model_id: str, roles: tuple[ImageRole, ...]) -> None:
        assert violation(catalog, VideoFacts(model_id, roles=roles)) == "input_images"

    def test_extension_needs_a_source_and_the_others_refuse_one(self, catalog: Catalog) -> None:
        assert violation(catalog, VideoFacts("veo_3_1_extend")) == "source_video_id"
        assert violation(catalog, VideoFacts("veo_3_1_t2v_fast", has_source=True)) == "source_video_id"
        plan = catalog.plan_video(VideoFacts("veo_3_1_extend", has_source=True, aspect_ratio="9:16"))
        assert plan.kind is VideoKind.EXTEND
        assert plan.options[0].upstream_model == "veo_3_1_extend_portrait"

    def test_extension_runs_where_its_source_was_made(self, catalog: Catalog) -> None:
        plan = catalog.plan_video(VideoFacts("veo-3.1-fast", has_source=True, source_provider="flow"))
        assert [option.provider for option in plan.options] == ["flow"]
        assert plan.options[0].credits_by_tier[AccountTier.ONE] == 20
        assert plan.options[0].credits_by_tier[AccountTier.TWO] == 10

    @pytest.mark.parametrize(
        ("model_id", "provider", "fitting"),
        [
            ("gemini-omni-1.1-flash", "flow", "veo_3_1_extend"),
            ("veo_3_1_t2v_fast", "flow", "veo-3.1-fast"),
            ("veo_3_1_extend", "gemini", "gemini-omni-1.1-flash"),
            ("veo-3.1-lite", "vertex", "veo-3.1-fast"),
        ],
    )
    def test_another_provider_s_clip_is_refused_with_the_models_that_continue_it(
        self, catalog: Catalog, model_id: str, provider: str, fitting: str
    ) -> None:
        with pytest.raises(
            InvalidArgument, match=rf"cannot continue this video\. Use one of: .*{fitting}[,.]"
        ) as raised:
            catalog.plan_video(VideoFacts(model_id, has_source=True, source_provider=provider))
        assert raised.value.violations[0].field == "model"


class TestTiers:
    def test_relaxed_runs_on_tier_two_only(self, catalog: Catalog) -> None:
        option = flow_option(catalog, VideoFacts("veo_3_1_t2v_fast_ultra_relaxed"))
        assert option.min_tier is AccountTier.TWO
        assert dict(option.upstream_model_by_tier) == {AccountTier.TWO: "veo_3_1_t2v_fast_ultra_relaxed"}
        assert option.least_credits == 0

    def test_tier_changes_the_key(self, catalog: Catalog) -> None:
        models = flow_option(catalog, VideoFacts("veo-3.1-fast")).upstream_model_by_tier
        assert models[AccountTier.NOT_PAID] == models[AccountTier.ONE] == "veo_3_1_t2v_fast"
        assert models[AccountTier.TWO] == "veo_3_1_t2v_fast_ultra"

    def test_credits_are_the_lowest_known_price(self, catalog: Catalog) -> None:
        assert flow_option(catalog, VideoFacts("veo_3_1_t2v_fast")).least_credits == 10
        assert flow_option(catalog, VideoFacts("veo_3_1_t2v")).least_credits == 100
        assert flow_option(catalog, VideoFacts("veo_3_1_t2v_4k")).least_credits == 150


class TestForm:
    @pytest.mark.parametrize("seconds", [4, 6, 8])
    def test_short_name_has_lengths(self, catalog: Catalog, seconds: int) -> None:
        plan = catalog.plan_video(VideoFacts("veo-3.1-lite", duration_seconds=seconds))
        assert plan.duration_seconds == seconds
        assert {option.provider for option in plan.options} == {"vertex", "flow"}

    @pytest.mark.parametrize(("model_id", "seconds"), [("veo-3.1", 5), ("veo_3_1_t2v_fast", 4), ("veo-3.1", -8)])
    def test_missing_length_is_refused(self, catalog: Catalog, model_id: str, seconds: int) -> None:
        assert violation(catalog, VideoFacts(model_id, duration_seconds=seconds)) == "seconds"

    def test_length_of_gemini_alone_leaves_its_route(self, catalog: Catalog) -> None:
        plan = catalog.plan_video(VideoFacts("omni", duration_seconds=10))
        assert [option.provider for option in plan.options] == ["gemini", "vertex"]

    @pytest.mark.parametrize(("resolution", "deadline"), [("720p", 900), ("1080P", 900), ("4K", 2700)])
    def test_resolution(self, catalog: Catalog, resolution: str, deadline: int) -> None:
        plan = catalog.plan_video(VideoFacts("veo-3.1", resolution=resolution))
        flow = next(option for option in plan.options if option.provider == "flow")
        assert plan.resolution == resolution.lower()
        assert plan.deadline_seconds == deadline
        assert (flow.upsampler_model is None) == (resolution == "720p")

    def test_missing_resolution_is_refused(self, catalog: Catalog) -> None:
        assert violation(catalog, VideoFacts("veo-3.1-lite", resolution="4k")) == "resolution"
        assert violation(catalog, VideoFacts("veo_3_1_t2v_fast", resolution="1080p")) == "resolution"

    def test_missing_ratio_is_refused(self, catalog: Catalog) -> None:
        assert violation(catalog, VideoFacts("veo-3.1-fast", aspect_ratio="1:1")) == "aspect_ratio"

    @pytest.mark.parametrize("size", [(0, 0), (-1280, 720), (9000, 720)])
    def test_absurd_size_is_refused(self, catalog: Catalog, size: tuple[int, int]) -> None:
        assert violation(catalog, VideoFacts("veo-3.1-fast", size=size)) == "size"

    def test_fixed_orientation_wins(self, catalog: Catalog) -> None:
        plan = catalog.plan_video(VideoFacts("veo_3_1_t2v_fast_portrait", size=(1280, 720), aspect_ratio="16:9"))
        assert plan.aspect_ratio == "9:16"
        assert plan.options[0].upstream_model == "veo_3_1_t2v_fast_portrait"

    def test_usual_time_includes_the_enlargement(self, catalog: Catalog) -> None:
        assert catalog.plan_video(VideoFacts("veo_3_1_t2v_fast")).typical_duration_seconds == 90
        assert catalog.plan_video(VideoFacts("veo_3_1_t2v_fast_1080p")).typical_duration_seconds == 210
