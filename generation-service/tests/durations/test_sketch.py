"""What a sketch learns from looks at clips."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow2api_generation_service.durations.sketch import NOTHING_LEARNED, PARTS, DurationSketch, usual_quantiles

MEDIAN = PARTS // 2


def learned(
    duration_of: Callable[[random.Random], float],
    count: int,
    *,
    usual: float,
    looks_every: float = 3.0,
    sketch: DurationSketch = NOTHING_LEARNED,
) -> DurationSketch:
    """After clips that were looked at in an even rhythm."""
    chance = random.Random(7)
    for _ in range(count):
        looks = math.ceil(duration_of(chance) / looks_every)
        sketch = sketch.learned((looks - 1) * looks_every, looks * looks_every, usual=usual)
    return sketch


def test_knows_at_first_what_the_catalog_says() -> None:
    quantiles = usual_quantiles(90)
    assert len(quantiles) == PARTS + 1
    assert quantiles[MEDIAN] == pytest.approx(90, rel=0.05)
    # Source: docs/upstream/flow.md, section 9: 60 to 120 s.
    assert quantiles[PARTS // 8] == pytest.approx(64, rel=0.1)
    assert quantiles[-PARTS // 8] == pytest.approx(127, rel=0.1)


@pytest.mark.parametrize("usual", [5, 20, 90, 900])
def test_learns_the_real_duration_whatever_the_catalog_said(usual: float) -> None:
    quantiles = learned(lambda _: 20.0, 300, usual=usual).quantiles(usual)
    assert 17 <= quantiles[MEDIAN] <= 21.5
    assert quantiles[PARTS // 8] >= 16
    assert quantiles[-PARTS // 8] <= 21.7


def test_learns_how_far_durations_are_spread() -> None:
    quantiles = learned(lambda chance: chance.uniform(60, 120), 500, usual=30).quantiles(30)
    assert quantiles[MEDIAN] == pytest.approx(90, rel=0.1)
    assert quantiles[PARTS // 8] == pytest.approx(67.5, rel=0.12)
    assert quantiles[-PARTS // 8] == pytest.approx(112.5, rel=0.12)


@pytest.mark.parametrize("later", [12.0, 45.0])
def test_forgets_how_it_was(later: float) -> None:
    before = learned(lambda _: 20.0, 300, usual=20)
    after = learned(lambda _: later, 300, usual=20, sketch=before)
    assert after.quantiles(20)[MEDIAN] == pytest.approx(later, rel=0.15)


def test_a_clip_that_is_always_ready_at_its_first_look_is_believed_to_come_earlier_in_time() -> None:
    sketch = learned(lambda _: 20.0, 200, usual=20)
    first = sketch.quantiles(20)[MEDIAN]
    for _ in range(1000):
        sketch = sketch.learned(0.0, 21.0, usual=20)
    quantiles = sketch.quantiles(20)
    assert quantiles[PARTS // 8] < first - 4
    assert quantiles[MEDIAN] <= first


def test_what_two_looks_do_not_tell_apart_stays_as_it_was_believed() -> None:
    sketch = learned(lambda _: 20.0, 200, usual=20)
    for _ in range(5):
        sketch = sketch.learned(0.0, 21.0, usual=20)
    assert sketch.quantiles(20)[MEDIAN] == pytest.approx(19.5, abs=1.5)


def test_an_odd_clip_does_not_stretch_what_is_known() -> None:
    sketch = learned(lambda _: 20.0, 600, usual=20).learned(600.0, 610.0, usual=20)
    assert sketch.quantiles(20)[-2] < 25


def test_stays_small() -> None:
    sketch = learned(lambda chance: chance.lognormvariate(math.log(90), 0.5), 1000, usual=90)
    assert len(sketch.weights) < 300
    assert sum(sketch.weights.values()) <= 100
    assert sketch.clip_count == 1000


ages = st.floats(-10.0, 1e6)


@given(looks=st.lists(st.tuples(ages, ages), max_size=30), usual=st.floats(0.0, 10_000.0))
def test_quantiles_are_always_in_order(looks: list[tuple[float, float]], usual: float) -> None:
    sketch = NOTHING_LEARNED
    for not_ready, ready in looks:
        sketch = sketch.learned(not_ready, ready, usual=usual)
    quantiles = sketch.quantiles(usual)
    assert len(quantiles) == PARTS + 1
    assert all(earlier <= later for earlier, later in pairwise(quantiles))
    assert quantiles[-1] > 0
