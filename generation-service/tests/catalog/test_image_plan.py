"""What a request for pictures becomes."""

from __future__ import annotations

import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.catalog.catalog import Catalog, load_catalog
from flow2api_generation_service.catalog.image_plan import ImageFacts, ImageOption

MODEL = "gemini-3.1-flash-image"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def by_provider(catalog: Catalog, facts: ImageFacts) -> dict[str, ImageOption]:
    return {option.provider: option for option in catalog.plan_image(facts).options}


def violation(catalog: Catalog, facts: ImageFacts) -> str:
    with pytest.raises(InvalidArgument) as raised:
        catalog.plan_image(facts)
    return raised.value.violations[0].field


def test_nothing_given_is_landscape_1k(catalog: Catalog) -> None:
    option = catalog.plan_image(ImageFacts(MODEL)).options[0]
    assert (option.aspect_ratio, option.generate_resolution, option.upscale_to) == ("16:9", "1K", None)


def test_first_reference_decides_when_nothing_else_does(catalog: Catalog) -> None:
    facts = ImageFacts(MODEL, input_image_count=1, reference_size=(900, 1200))
    assert catalog.plan_image(facts).options[0].aspect_ratio == "3:4"


def test_by_size_each_route_takes_its_nearest_ratio(catalog: Catalog) -> None:
    options = by_provider(catalog, ImageFacts(MODEL, size=(1536, 1024)))
    assert options["flow"].aspect_ratio == "4:3"
    assert options["gemini"].aspect_ratio == "3:2"


def test_named_ratio_leaves_only_routes_that_have_it(catalog: Catalog) -> None:
    assert set(by_provider(catalog, ImageFacts(MODEL, aspect_ratio="21:9"))) == {"gemini", "vertex"}


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("PORTRAIT", "9:16"), ("four_three", "4:3"), ("1:1", "1:1"), ("Square", "1:1"), ("auto", "16:9")],
)
def test_ratio_words(catalog: Catalog, text: str, ratio: str) -> None:
    assert catalog.plan_image(ImageFacts(MODEL, aspect_ratio=text)).options[0].aspect_ratio == ratio


@pytest.mark.parametrize("text", ["16x9", "banana", "0:0", "-16:9", "16:", ":9", "1000:1", "²:1"])
def test_nonsense_ratio_is_refused(catalog: Catalog, text: str) -> None:
    assert violation(catalog, ImageFacts(MODEL, aspect_ratio=text)) == "aspect_ratio"


def test_missing_ratio_is_refused_with_what_there_is(catalog: Catalog) -> None:
    with pytest.raises(InvalidArgument, match="16:9, 9:16"):
        catalog.plan_image(ImageFacts("imagen-4.0-generate-preview", aspect_ratio="1:1"))


@pytest.mark.parametrize("size", [(0, 0), (-1, 5), (1, 0), (8193, 100), (100, 100_000)])
@pytest.mark.parametrize("model_id", [MODEL, "gemini-3.1-flash-image-landscape"])
def test_absurd_size_is_refused(catalog: Catalog, size: tuple[int, int], model_id: str) -> None:
    assert violation(catalog, ImageFacts(model_id, size=size)) == "size"


def test_fixed_id_keeps_ratio_and_resolution(catalog: Catalog) -> None:
    facts = ImageFacts(
        "gemini-3.1-flash-image-portrait-2k", aspect_ratio="landscape", size=(1920, 1080), resolution="4K"
    )
    option = catalog.plan_image(facts).options[0]
    assert (option.aspect_ratio, option.upscale_to) == ("9:16", "2K")


def test_resolution_is_enlarged_on_flow_and_native_on_gemini(catalog: Catalog) -> None:
    options = by_provider(catalog, ImageFacts(MODEL, resolution="4k"))
    assert (options["flow"].generate_resolution, options["flow"].upscale_to) == ("1K", "4K")
    assert (options["gemini"].generate_resolution, options["gemini"].upscale_to) == ("4K", None)


def test_unknown_resolution_is_refused(catalog: Catalog) -> None:
    assert violation(catalog, ImageFacts(MODEL, resolution="8K")) == "resolution"
    assert violation(catalog, ImageFacts("imagen-4.0-generate-preview", resolution="2K")) == "resolution"


@pytest.mark.parametrize(("size", "upscale_to"), [((1024, 1024), None), ((2048, 2048), "2K"), ((3840, 2160), "4K")])
def test_size_stands_for_a_resolution_too(catalog: Catalog, size: tuple[int, int], upscale_to: str | None) -> None:
    assert catalog.plan_image(ImageFacts(MODEL, size=size)).options[0].upscale_to == upscale_to


def test_too_many_references_are_refused(catalog: Catalog) -> None:
    assert violation(catalog, ImageFacts(MODEL, input_image_count=15)) == "input_images"
    assert set(by_provider(catalog, ImageFacts(MODEL, input_image_count=12))) == {"gemini", "vertex"}
