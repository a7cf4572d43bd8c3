"""What generations cost in money: the packaged table, and what comes of it."""

from __future__ import annotations

from datetime import date

import pytest

from flow2api_generation_service.catalog.catalog import load_catalog
from flow2api_generation_service.catalog.files import PriceRow, PricesFile
from flow2api_generation_service.catalog.image_plan import ImageFacts
from flow2api_generation_service.catalog.prices import TokenUsage, price_book
from flow2api_generation_service.catalog.video_plan import VideoFacts

NOTHING = TokenUsage()


def test_every_route_of_the_official_apis_has_a_price_and_no_other_has() -> None:
    for model in load_catalog().models:
        for route in model.routes:
            assert (route.price is not None) == (route.provider in {"gemini", "vertex"}), (model.model_id, route)


@pytest.mark.parametrize(
    ("model_id", "resolution", "micros"),
    [
        ("gemini-3.0-pro-image", "1K", 134_000),
        ("gemini-3.0-pro-image", "4K", 240_000),
        ("gemini-3.1-flash-image", "512", 45_000),
        ("gemini-3.1-flash-image", "2K", 67_000),
    ],
)
def test_a_picture_costs_by_its_size(model_id: str, resolution: str, micros: int) -> None:
    plan = load_catalog().plan_image(ImageFacts(model_id, resolution=resolution))
    option = next(option for option in plan.options if option.provider == "vertex")
    assert option.price is not None
    assert option.price.of_image(option.generate_resolution, NOTHING) == micros
    # Input tokens at 2 and 0.5 dollars a million, each begun millionth counted.
    more = option.price.of_image(option.generate_resolution, TokenUsage(input_tokens=265)) - micros
    assert more == (530 if model_id == "gemini-3.0-pro-image" else 133)


@pytest.mark.parametrize(
    ("model_id", "resolution", "seconds", "micros"),
    [
        ("veo-3.1", "720p", 4, 1_600_000),
        ("veo-3.1", "4k", 8, 4_800_000),
        ("veo-3.1-fast", "1080p", 8, 960_000),
        ("veo-3.1-lite", "720p", 6, 300_000),
        ("gemini-omni-1.1-flash", "720p", 8, 810_880),
    ],
)
def test_a_clip_costs_by_its_seconds(model_id: str, resolution: str, seconds: int, micros: int) -> None:
    plan = load_catalog().plan_video(VideoFacts(model_id, duration_seconds=seconds, resolution=resolution))
    option = next(option for option in plan.options if option.provider == "vertex")
    assert option.price is not None
    assert option.price.of_video(plan.resolution, plan.duration_seconds, NOTHING) == micros


def test_a_continuation_costs_what_it_adds() -> None:
    prices = load_catalog().prices
    veo, omni = prices.find("vertex", "veo-3.1-generate-001"), prices.find("gemini", "gemini-omni-1.1-flash")
    assert veo is not None
    assert omni is not None
    assert veo.of_video("720p", 8, NOTHING, is_extension=True) == 2_800_000
    assert omni.of_video("720p", 8, NOTHING, is_extension=True) == 810_880


def test_only_what_is_sold_by_tokens_is_counted_by_them() -> None:
    prices = load_catalog().prices
    veo, omni = prices.find("vertex", "veo-3.1-generate-001"), prices.find("gemini", "gemini-omni-1.1-flash")
    assert veo is not None
    assert omni is not None
    assert veo.of_tokens(TokenUsage(10, 10)) is None
    assert omni.of_tokens(TokenUsage(7, 46_336)) == 810_880 + 11
    assert omni.of_tokens(TokenUsage(7, None)) is None


def test_a_price_that_stands_there_twice_is_refused() -> None:
    row = PriceRow(providers=("gemini",), upstream_model="m", as_of=date(2026, 10, 31), image={"1K": 1})
    with pytest.raises(ValueError, match="twice"):
        price_book(PricesFile(prices=(row, row)))
