"""The ages at which operations are looked at, chosen from how long they take."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flow2api_poller_service.look_rule import LookCosts, LookRule, rule_for

COSTS = LookCosts(look=1.0, shortest=1.0, longest=120.0)
EVEN = [60.0 + 2.0 * number for number in range(31)]
"""Any duration from 60 to 120 s, equally likely."""


def first_looks(rule: LookRule, count: int) -> list[float]:
    return list(islice(rule.ages(), count))


def cost_of(ages: list[float], quantiles: list[float], costs: LookCosts) -> float:
    """Mean of looks and waiting over durations in the middle of each equally likely part."""
    total = 0.0
    for earlier, later in pairwise(quantiles):
        duration = (earlier + later) / 2
        looks = next(number for number, age in enumerate(ages, 1) if age >= duration)
        total += costs.look * looks + ages[looks - 1] - duration
    return total / (len(quantiles) - 1)


def test_what_always_takes_the_same_time_is_looked_at_once() -> None:
    rule = LookRule([20.0, 20.2, 20.4], COSTS)
    assert rule.next_age(0.0) == pytest.approx(20.4)


def test_there_is_no_look_before_completion_is_possible() -> None:
    assert first_looks(LookRule(EVEN, COSTS), 1)[0] > 60


def test_looks_grow_denser_as_completion_grows_likely() -> None:
    ages = [age for age in first_looks(LookRule(EVEN, COSTS), 10) if age <= 120]
    pauses = [later - earlier for earlier, later in pairwise(ages)]
    assert len(pauses) >= 3
    assert pauses == sorted(pauses, reverse=True)


def test_looks_are_dense_at_both_of_two_likely_times_and_sparse_between() -> None:
    rule = LookRule([*(30.0 + number for number in range(8)), *(200.0 + number for number in range(8))], COSTS)
    ages = [age for age in first_looks(rule, 20) if age <= 207]
    assert sum(30 <= age <= 37 for age in ages) >= 2
    assert sum(200 <= age <= 207 for age in ages) >= 2
    assert sum(37 < age < 200 for age in ages) <= 2


def test_a_dearer_look_makes_looks_fewer() -> None:
    counts = [
        sum(age <= 120 for age in first_looks(LookRule(EVEN, LookCosts(look, 1.0, 120.0)), 100))
        for look in (0.2, 1.0, 5.0)
    ]
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize("step", [3.0, 5.0, 8.0, 12.0, 20.0])
def test_no_even_rhythm_costs_less(step: float) -> None:
    rhythm = [60.0 + step * number for number in range(1, 40)]
    assert cost_of(first_looks(LookRule(EVEN, COSTS), 50), EVEN, COSTS) <= cost_of(rhythm, EVEN, COSTS) + 0.01


def test_the_next_look_depends_only_on_how_old_the_operation_is() -> None:
    rule = LookRule(EVEN, COSTS)
    first, second = first_looks(rule, 2)
    # Whoever was kept from looking goes on where the plan is.
    assert rule.next_age((first + second) / 2) == pytest.approx(second, abs=4.0)


def test_whoever_looked_a_little_too_early_looks_again_soon() -> None:
    likely = [18.0 + 0.08 * number for number in range(31)]
    rule = LookRule([*likely, 65.0], COSTS)
    assert rule.next_age(19.6) <= 22.0


def test_late_operations_are_looked_at_ever_more_seldom() -> None:
    ages = [age for age in first_looks(LookRule(EVEN, COSTS), 60) if age >= 120]
    pauses = [later - earlier for earlier, later in pairwise(ages)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(6.0)
    assert pauses[-1] == pytest.approx(COSTS.longest)


def test_a_usual_duration_alone_is_enough() -> None:
    ages = [age for age in first_looks(rule_for([], 90.0, COSTS), 30) if age <= 144]
    assert 45 < ages[0] < 75
    assert len(ages) >= 4


def test_what_is_said_to_be_ready_is_looked_at_at_once() -> None:
    rule = rule_for([], 0.0, COSTS)
    assert rule.next_age(0.0) == 0.0
    assert rule.next_age(0.3) >= 1.3


distributions = st.lists(st.floats(0.0, 4000.0), min_size=2, max_size=40).map(sorted)


@given(quantiles=distributions, look=st.floats(0.05, 60.0), age=st.floats(0.0, 5000.0))
def test_pauses_stay_within_their_bounds(quantiles: list[float], look: float, age: float) -> None:
    costs = LookCosts(look=look, shortest=1.0, longest=120.0)
    rule = LookRule(quantiles, costs)
    next_age = rule.next_age(age)
    assert next_age >= age + (costs.shortest if age > 0 else 0.0) - 1e-6
    assert next_age <= age + costs.longest + 1e-6
    assert 0.0 <= rule.expected_wait(age, next_age) <= next_age


@given(quantiles=distributions)
def test_every_plan_goes_on(quantiles: list[float]) -> None:
    assume(quantiles[-1] > 0)
    assert first_looks(LookRule(quantiles, COSTS), 300)[-1] >= 300
