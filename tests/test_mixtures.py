"""Compositions of mixtures of Gaussians, held against a quadrature and an independent composition."""

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from scipy import stats
from scipy.optimize import brentq

import certunl as cu
from certunl.certificates.gaussian import read_epsilon
from certunl.certificates.mixtures import mixture_epsilon

CASES = [(1, 0.1, 2.0, 0.0), (4, 0.5, 4.0, 0.0), (6, 0.2, 3.0, 0.05)]  # k, q, z, r


def densities(k, q, z, r, x):
    """ln of the densities of the mixture and of the Gaussian at `x`."""
    j = np.arange(k + 1)
    parts = stats.norm.logpdf(x[:, None], j * (1 + r), z) + stats.binom.logpmf(j, k, q)
    return np.logaddexp.reduce(parts, axis=1), stats.norm.logpdf(x, 0, z)


def composed_delta(case, steps, epsilons):
    """The larger delta of both orders at each epsilon, from losses on a grid that are composed by one FFT."""
    k, q, z, r = case
    x, dx = np.linspace(-12 * z, k * (1 + r) + 12 * z, 400_001, retstep=True)
    width = 2e-4
    deltas = []
    mixture, gaussian = densities(k, q, z, r, x)
    for upper, lower in ((mixture, gaussian), (gaussian, mixture)):
        bins = np.rint((upper - lower) / width).astype(int)
        size = 1 << 21
        mass = np.bincount(bins % size, np.exp(upper) * dx, size)
        total = np.fft.irfft(np.fft.rfft(mass) ** steps, size)
        loss = (np.arange(size) + size // 2) % size - size // 2
        worse = [np.sum(total * np.clip(-np.expm1(epsilon - loss * width), 0, None)) for epsilon in epsilons]
        deltas.append(worse)
    return np.max(deltas, axis=0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_step_has_the_hockey_stick_divergence_of_a_quadrature(case):
    k, q, z, r = case
    x, dx = np.linspace(-14 * z, k * (1 + r) + 14 * z, 200_001, retstep=True)
    pair = densities(k, q, z, r, x)

    def delta_at(epsilon):
        orders = (pair, pair[::-1])
        return max(np.sum(np.clip(np.exp(a) - np.exp(epsilon + b), 0, None)) * dx for a, b in orders)

    for delta in (1e-5, 1e-3):
        exact = brentq(lambda epsilon, delta=delta: delta_at(epsilon) - delta, 0, 50)
        ours = mixture_epsilon(delta, group=k, rate=q, noise=z, steps=1, rounding=r)
        assert exact * (1 - 1e-6) <= ours <= exact * 1.005 + 1e-3


@pytest.mark.parametrize("case", CASES, ids=str)
def test_many_steps_have_the_epsilon_of_an_independent_composition(case):
    k, q, z, r = case
    for delta in (1e-5, 1e-3):
        ours = mixture_epsilon(delta, group=k, rate=q, noise=z, steps=12, rounding=r)
        below, at = composed_delta(case, 12, [ours * 0.98, ours * 1.001 + 1e-3])
        assert at <= delta <= below


def test_one_example_has_the_price_of_the_subsampled_gaussian_and_full_batches_that_of_the_gaussian():
    for q, z, steps in ((1 / 30, 40.0, 900), (0.1, 2.0, 60)):
        theirs = pld.from_gaussian_mechanism(z, sampling_prob=q, value_discretization_interval=2e-5).self_compose(steps)
        ours = mixture_epsilon(1e-5, group=1, rate=q, noise=z, steps=steps)
        assert ours == pytest.approx(theirs.get_epsilon_for_delta(1e-5), rel=3e-3)
    full = mixture_epsilon(1e-5, group=2, rate=1.0, noise=20.0, steps=25, rounding=0.1)
    assert full == pytest.approx(read_epsilon(20 / (2 * 1.1 * 5), 1e-5), rel=3e-3)


def test_mnist_at_noise_40_has_the_published_prices():
    price = [mixture_epsilon(1e-5, group=k, rate=1 / 30, noise=40.0, steps=900) for k in (1, 10, 60)]
    assert price == pytest.approx([0.08, 0.93, 7.07], abs=0.006)
    known = [read_epsilon(40 / (30 * k) ** 0.5, 1e-5) for k in (1, 10)]  # k slots in each of 30 epochs, all apart
    assert known == pytest.approx([0.48, 1.70], abs=0.006)


def test_a_price_pays_for_missed_events_and_refuses_what_is_no_number():
    numbers = {"group": 2, "rate": 0.5, "noise": 3.0, "steps": 5}
    assert mixture_epsilon(1e-5, **numbers, missed=1e-12) == mixture_epsilon(1e-5, **numbers)
    assert mixture_epsilon(1e-5, **numbers, missed=1e-9) == np.inf  # more than a ten-thousandth of delta
    assert mixture_epsilon(1e-10, **numbers) == np.inf
    assert mixture_epsilon(1e-5, **numbers | {"steps": 0}) == mixture_epsilon(1e-5, **numbers | {"group": 0}) == 0
    assert mixture_epsilon(1e-5, group=60_000, rate=0.5, noise=1.0, steps=2000) == np.inf  # at once
    for wrong in ({"rate": 1.5}, {"noise": 0.0}, {"group": -1}, {"rounding": -0.1}):
        with pytest.raises(cu.BadInput):
            mixture_epsilon(1e-5, **numbers | wrong)
