"""The schedules beside ``torch.optim.lr_scheduler``'s, step by step."""

from __future__ import annotations

import pytest

from softgrad.train.schedules import learning_rate

torch = pytest.importorskip("torch")
schedulers = torch.optim.lr_scheduler

TOTALS = [1, 2, 3, 4, 10, 100]


def theirs(make, total):
    """The learning rate of each step, as a loop of PyTorch's sees it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = make(optimizer)
    rates = []
    for step in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < total:
            scheduler.step()
    return rates


def ours(schedule, total, **settings):
    return [learning_rate(schedule, 0.1, step, total, **settings) for step in range(total)]


# PyTorch multiplies its way from step to step: some units in the last place for each of a hundred.
REL = 1e-12


@pytest.mark.parametrize("total", TOTALS)
def test_constant_and_step(total):
    assert ours("constant", total) == theirs(lambda o: schedulers.ConstantLR(o, factor=1.0), total)
    expected = theirs(lambda o: schedulers.StepLR(o, step_size=7, gamma=0.3), total)
    assert ours("step", total, decay=0.3, decay_steps=7) == pytest.approx(expected, rel=REL)


@pytest.mark.parametrize("total", TOTALS)
def test_exponential(total):
    expected = theirs(lambda o: schedulers.ExponentialLR(o, gamma=0.9), total)
    assert ours("exponential", total, decay=0.9, decay_steps=1) == pytest.approx(expected, rel=REL)
    expected = theirs(lambda o: schedulers.ExponentialLR(o, gamma=0.5 ** (1 / 8)), total)
    assert ours("exponential", total, decay=0.5, decay_steps=8) == pytest.approx(expected, rel=REL)


@pytest.mark.parametrize("total", TOTALS)
def test_inverse_time(total):
    expected = theirs(lambda o: schedulers.LambdaLR(o, lambda step: 1 / (1 + step / 5)), total)
    assert ours("inverse-time", total, decay_steps=5) == pytest.approx(expected, rel=REL)


@pytest.mark.parametrize("total", TOTALS)
def test_cosine(total):
    expected = theirs(lambda o: schedulers.CosineAnnealingLR(o, T_max=total), total)
    # near the end 1 + cos cancels, in the one formula and in the other
    assert ours("cosine", total) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("total", TOTALS)
def test_one_cycle(total):
    expected = theirs(lambda o: schedulers.OneCycleLR(o, max_lr=0.1, total_steps=total, cycle_momentum=False), total)
    assert ours("one-cycle", total) == pytest.approx(expected, rel=REL)


@pytest.mark.parametrize("warmup", [1, 5])
def test_warm_up(warmup):
    def make(optimizer):
        climb = schedulers.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        then = schedulers.StepLR(optimizer, step_size=7, gamma=0.3)
        return schedulers.SequentialLR(optimizer, [climb, then], milestones=[warmup])

    expected = theirs(make, 30)
    assert ours("step", 30, warmup_steps=warmup, decay=0.3, decay_steps=7) == pytest.approx(expected, rel=REL)
