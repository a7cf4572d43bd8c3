"""Sizes, ratios, qualities and lengths, as clients write them."""

from __future__ import annotations

import pytest

from flow2api_common.errors import InvalidArgument
from flow2api_gateway.openai.options import (
    PixelSize,
    exact_resolution,
    image_step_of,
    nearest_resolution,
    parse_aspect_ratio,
    parse_count,
    parse_quality,
    parse_resolution,
    parse_seconds,
    parse_size,
    video_step_of,
)


def param_of(caught: pytest.ExceptionInfo[InvalidArgument]) -> str:
    return caught.value.violations[0].field


@pytest.mark.parametrize(
    ("text", "size"), [("1024x1024", (1024, 1024)), ("1536X1024", (1536, 1024)), (" 720x1280 ", (720, 1280))]
)
def test_a_size_in_pixels(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == PixelSize(*size)


@pytest.mark.parametrize("text", [None, "", "auto", "AUTO"])
def test_no_size_leaves_it_to_the_model(text: str | None) -> None:
    assert parse_size(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "0x0",
        "huge",
        "-1x5",
        "99999x99999",
        "1024",
        "x",
        "10x10",
        "8192x16",
        "1024x1024x3",
        "\uff11\uff10\uff12\uff14x\uff11\uff10\uff12\uff14",
    ],
)
def test_an_absurd_size_is_refused_on_size(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_size(text)
    assert param_of(caught) == "size"


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        (None, ""),
        ("auto", ""),
        ("16:9", "16:9"),
        ("Landscape", "landscape"),
        ("four-three", "4:3"),
        ("PORTRAIT", "portrait"),
    ],
)
def test_an_aspect_ratio(text: str | None, ratio: str) -> None:
    assert parse_aspect_ratio(text) == ratio


@pytest.mark.parametrize("text", ["wide", "16/9", "0:1", "16:", "1000000:1"])
def test_a_ratio_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_aspect_ratio(text)
    assert param_of(caught) == "aspect_ratio"


@pytest.mark.parametrize(("value", "seconds"), [(None, 0), ("", 0), ("8", 8), (8, 8), (8.0, 8), (" 4 ", 4)])
def test_seconds_as_number_or_text(value: str | float | None, seconds: int) -> None:
    assert parse_seconds(value) == seconds


@pytest.mark.parametrize("value", ["long", "\N{FULLWIDTH DIGIT FOUR}", 0, -3, 8.5, "nan", "inf", 1e9])
def test_seconds_that_are_none_are_refused(value: str | float) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_seconds(value)
    assert param_of(caught) == "seconds"


@pytest.mark.parametrize("count", [0, -1, 11])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_count(count)
    assert param_of(caught) == "n"


@pytest.mark.parametrize(
    ("quality", "step"),
    [
        (None, ""),
        ("auto", ""),
        ("low", "1K"),
        ("standard", "1K"),
        ("medium", "2K"),
        ("hd", "4K"),
        ("High", "4K"),
        ("2k", "2K"),
    ],
)
def test_quality_is_a_step_of_resolution(quality: str | None, step: str) -> None:
    assert parse_quality(quality) == step


def test_an_unknown_quality_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_quality("superb")
    assert param_of(caught) == "quality"


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("4K", ["1K", "2K"], "2K"),
        ("2K", ["1K", "2K", "4K"], "2K"),
        ("1K", ["2K"], ""),
        ("", ["1K", "2K"], ""),
        ("1080p", ["720p", "1080p", "4k"], "1080p"),
        ("4k", ["720p"], "720p"),
    ],
)
def test_the_best_resolution_that_is_not_above(wanted: str, offered: list[str], chosen: str) -> None:
    assert nearest_resolution(wanted, offered) == chosen


def test_a_named_resolution_is_in_the_models_spelling() -> None:
    assert exact_resolution("4k", ["1K", "4K"], param="image_size") == "4K"


def test_a_named_resolution_that_the_model_lacks_is_refused_with_what_it_has() -> None:
    with pytest.raises(InvalidArgument, match="1K, 2K") as caught:
        exact_resolution("4k", ["1K", "2K"], param="image_size")
    assert param_of(caught) == "image_size"


def test_an_unknown_resolution_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_resolution("8K", param="resolution")
    assert param_of(caught) == "resolution"


@pytest.mark.parametrize(
    ("size", "step"), [((1024, 1024), ""), ((1792, 1024), ""), ((2048, 2048), "2k"), ((3840, 2160), "4k")]
)
def test_the_step_of_a_picture_size(size: tuple[int, int], step: str) -> None:
    assert image_step_of(PixelSize(*size)) == step


@pytest.mark.parametrize(
    ("size", "step"), [((1280, 720), ""), ((1024, 1792), ""), ((1080, 1920), "1080p"), ((3840, 2160), "4k")]
)
def test_the_step_of_a_clip_size(size: tuple[int, int], step: str) -> None:
    assert video_step_of(PixelSize(*size)) == step
