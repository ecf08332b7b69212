"""The schedules: the learning rate of the first step, the last, and between."""

from __future__ import annotations

import pytest

from softgrad.train.config import SCHEDULES
from softgrad.train.schedules import learning_rate, settings_of

TOTAL = 90


def rates(schedule, total=TOTAL, **settings):
    return [learning_rate(schedule, 0.1, step, total, **settings) for step in range(total)]


# The first rate, the largest and the last, of 90 steps from 0.1.
@pytest.mark.parametrize(
    ("schedule", "first", "largest", "last"),
    [
        ("constant", 0.1, 0.1, 0.1),
        ("step", 0.1, 0.1, 0.001),
        ("exponential", 0.1, 0.1, 0.1 * 0.1 ** (89 / 30)),
        ("inverse-time", 0.1, 0.1, 0.1 / (1 + 89 / 30)),
        ("cosine", 0.1, 0.1, 3.0459e-5),  # 0.1 sin^2(pi / 180)
        ("one-cycle", 0.004, 0.1, 4e-7),
    ],
)
def test_where_a_schedule_begins_and_ends(schedule, first, largest, last):
    found = rates(schedule)
    assert found[0] == pytest.approx(first, rel=1e-12)
    assert max(found) == pytest.approx(largest, rel=1e-12)
    assert found[-1] == pytest.approx(last, rel=1e-4)
    assert min(found) == found[-1]


def test_every_schedule_is_tested():
    (mark,) = test_where_a_schedule_begins_and_ends.pytestmark
    assert [row[0] for row in mark.args[1]] == list(SCHEDULES)


def test_cosine_goes_from_lr_over_half_to_nearly_zero():
    assert learning_rate("cosine", 0.1, 0, 100) == 0.1
    assert learning_rate("cosine", 0.1, 50, 100) == pytest.approx(0.05)
    assert 0 < learning_rate("cosine", 0.1, 99, 100) < 1e-4


def test_step_falls_after_every_so_many_steps():
    found = rates("step", 7, decay=0.5, decay_steps=3)
    assert found == [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025]
    assert rates("step", 7)[2:4] == [0.1, pytest.approx(0.01)]  # a third of 7 steps, rounded up


def test_exponential_and_step_agree_after_whole_decays():
    smooth, stepped = (rates(name, decay=0.3, decay_steps=10) for name in ("exponential", "step"))
    assert smooth[::10] == stepped[::10]
    assert all(a < b for i, (a, b) in enumerate(zip(smooth, stepped, strict=True)) if i % 10)


def test_inverse_time_halves_then_thirds():
    found = rates("inverse-time", decay_steps=20)
    assert found[20] == pytest.approx(0.1 / 2)
    assert found[40] == pytest.approx(0.1 / 3)


def test_one_cycle_climbs_for_30_percent_then_falls():
    found = rates("one-cycle")
    top = found.index(max(found))
    assert top == 26
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("total", [1, 2, 3, 4, 5])
def test_the_shortest_runs_have_rates_too(schedule, total):
    found = rates(schedule, total)
    assert all(0 < rate <= 0.1 for rate in found)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [1, 4, TOTAL - 1])
def test_a_warm_up_climbs_in_equal_parts_to_the_schedule(schedule, warmup):
    found, after = rates(schedule, warmup_steps=warmup), rates(schedule, TOTAL - warmup)
    assert found[:warmup] == pytest.approx([after[0] * i / (warmup + 1) for i in range(1, warmup + 1)], rel=1e-12)
    assert found[warmup:] == after


def test_no_rate_overflows_or_is_negative():
    for schedule in SCHEDULES:
        settings = {name: {"decay": 1e-300, "decay_steps": 1}[name] for name in settings_of(schedule)}
        for step in (0, 1, 999_999):
            assert 0 <= learning_rate(schedule, 1e300, step, 1_000_000, **settings) <= 1e300
