"""Theorem on noisy chains: exact where it is attained, kept by random linear and by discontinuous chains."""

import numpy as np
import pytest
from scipy.stats import norm

import certunl as cu
from certunl.bounds import noisy_chain
from certunl.certificates.gaussian import read_epsilon


def exact_delta(epsilon, r):
    return norm.cdf(r / 2 - epsilon / r) - np.exp(epsilon) * norm.cdf(-r / 2 - epsilon / r)


@pytest.mark.parametrize(
    ("contraction", "steps", "noise"),
    [(1, 1, 7.4986), (1, 10, 2.4774), (1, 100, 1.1192), (1, 1000, 1.4157), (0.9, 1, 6.7524), (0.9, 10, 1.3229),
     (0.9, 100, 0.16270), (0.9, 1000, 0.16261), (0.99, 10, 2.3486), (0.99, 100, 0.77251), (0.99, 1000, 0.52629)],
)  # fmt: skip
def test_the_noise_that_a_step_needs_for_an_epsilon_of_one(contraction, steps, noise):
    Z, total = noisy_chain(start=2.0, contractions=[contraction] * steps, shifts=[0.01] * steps, noises=[noise] * steps)
    assert read_epsilon(total / Z, 1e-5) == pytest.approx(1.0, rel=2e-4)


def test_one_step_is_the_gaussian_mechanism():
    assert noisy_chain(start=3.0, contractions=[1], shifts=[0], noises=[2]) == (3.0, 2.0)
    assert read_epsilon(1 / np.sqrt(2), 1e-5) == pytest.approx(6.57297, abs=1e-5)
    assert read_epsilon(1 / 2, 1e-5) == pytest.approx(9.99726, abs=1e-5)


def test_random_linear_chains_are_never_easier_to_tell_apart_and_scalar_ones_exactly_as_easy():
    rng, ratios = np.random.default_rng(0), []
    for trial in range(200):
        d, K, scalar = int(rng.integers(1, 6)), int(rng.integers(1, 9)), trial % 4 == 0
        c, u, s, z = rng.uniform(0.2, 1.0), rng.uniform(0, 1), rng.uniform(0.1, 2), rng.uniform(0, 3)
        gap, spread = rng.normal(size=d), np.zeros((d, d))
        gap *= z / np.linalg.norm(gap)
        direction = gap / z
        for _ in range(K):
            A = c * np.eye(d) if scalar else rng.normal(size=(d, d))
            A *= c / np.linalg.norm(A, 2)
            shift = direction if scalar else rng.normal(size=d)
            gap = A @ gap + u * shift / np.linalg.norm(shift)
            spread = A @ spread @ A.T + s**2 * np.eye(d)
        Z, total = noisy_chain(start=z, contractions=[c] * K, shifts=[u] * K, noises=[s] * K)
        ratios.append((np.sqrt(gap @ np.linalg.solve(spread, gap)) / (Z / total), scalar))
    assert max(ratio for ratio, _ in ratios) <= 1 + 1e-9
    assert min(ratio for ratio, scalar in ratios if scalar) >= 1 - 1e-9


@pytest.mark.parametrize("varying", [False, True])
def test_discontinuous_maps_on_a_grid_keep_it_and_a_bound_of_three_quarters_is_caught(varying):
    h = 0.02
    x = np.arange(-14, 14, h)
    K = 3
    c, u, s = np.full(K, 0.8), np.full(K, 0.6), np.full(K, 0.7)
    if varying:
        c, u, s = np.array([0.9, 0.6, 0.8]), np.array([0.3, 0.6, 0.5]), np.array([0.7, 0.6, 0.8])
    P, Q = (norm.pdf(x, at, s[0]) for at in (0.5 * c[0] + u[0] / 2, -0.5 * c[0] - u[0] / 2))
    for t in range(1, K):  # both are pushed apart by u/2 at every point, and jump where they cross 0.2
        jump = np.where(x > 0.2, 0.0, -0.1)
        P = norm.pdf(x[:, None], c[t] * x + jump + u[t] / 2, s[t]) @ P * h
        Q = norm.pdf(x[:, None], c[t] * x + jump - u[t] / 2 + 0.1 * (x > 5), s[t]) @ Q * h
    shifts = np.append(u[0], u[1:] + 0.1)
    Z, total = noisy_chain(start=1.0, contractions=c, shifts=shifts, noises=s)
    for epsilon in (0.0, 0.5, 1.0, 2.0):
        for A, B in ((P, Q), (Q, P)):
            true = np.sum(np.maximum(A - np.exp(epsilon) * B, 0)) * h
            assert true <= exact_delta(epsilon or 1e-9, Z / total) * (1 + 1e-3)
            assert true > exact_delta(epsilon or 1e-9, 0.75 * Z / total)


def test_it_grows_with_the_start_and_the_shifts_and_falls_with_the_noise():
    def r(z=1.0, u=0.1, s=1.0):
        Z, total = noisy_chain(start=z, contractions=[0.9] * 5, shifts=[u] * 5, noises=[s] * 5)
        return Z / total

    assert r() < min(r(z=1.1), r(u=0.2), r(s=0.9))


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ({"contractions": [1, 1], "shifts": [0, 5], "noises": [9, 0.1]}, "step 1 of 2 is too large"),
        ({"contractions": [1, 0], "shifts": [0, 0], "noises": [1, 0]}, "no noise reaches the end"),
        ({"contractions": [], "shifts": [], "noises": []}, "at least one step"),
        ({"contractions": [1], "shifts": [-1], "noises": [1]}, "shifts of a noisy chain must be finite"),
    ],
)
def test_chains_it_does_not_speak_of_are_refused(steps, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        noisy_chain(start=1.0, **steps)
