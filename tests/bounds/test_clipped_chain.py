"""Recursion for clipped models: the noise it asks for, exact where one step is all, kept by chains on a grid."""

import numpy as np
import pytest
from scipy.stats import norm

import certunl as cu
from certunl.bounds import clipped_chain
from tests.bounds.test_noisy_chain import exact_delta

NEEDED = {1: 7.4613, 2: 2.3347, 5: 1.0559, 10: 0.74878, 20: 0.59170, 50: 0.47526, 100: 0.41979, 200: 0.37937}


@pytest.mark.parametrize(("steps", "noise"), NEEDED.items())
def test_the_noise_that_steps_need_for_an_epsilon_of_one(steps, noise):
    more, less = (clipped_chain(1.0, ratio=2 / (noise * f), steps=steps) for f in (1 + 1e-4, 1 - 1e-4))
    assert more < 1e-5 < less


@pytest.mark.parametrize("ratio", [0.05, 0.2680511232, 1.0, 4.0, 30.0])
def test_one_step_is_the_gaussian_mechanism(ratio):
    epsilon = np.array([0.1, 0.5, 1.0, 2.0])
    got, true = clipped_chain(epsilon, ratio=ratio, steps=1), exact_delta(epsilon, ratio)
    np.testing.assert_allclose(got, true, rtol=1e-8, atol=1e-15)
    assert (got >= true * (1 - 1e-9) - 1e-15).all()


def test_what_is_far_below_the_smallest_number_stays_above_0_and_is_no_nan():
    got = clipped_chain(np.array([0.0, 1e-9, 1.0, 50.0, 1e4]), ratio=0.3, steps=100)
    np.testing.assert_allclose(got[0], exact_delta(1e-15, 0.3) ** 100, rtol=1e-9)
    np.testing.assert_allclose(got[2:], 1e-300)
    assert 0 < got[1] < got[0]
    assert clipped_chain(1.0, ratio=1e4, steps=3) == 1


def test_it_falls_with_epsilon_and_the_steps_and_grows_with_the_ratio():
    def delta(epsilon=0.5, ratio=1.5, steps=3):
        return clipped_chain(epsilon, ratio=ratio, steps=steps)

    assert delta() > max(delta(epsilon=0.6), delta(ratio=1.4), delta(steps=4)) and delta() > 0
    together = clipped_chain(np.array([0.5, 0.6]), ratio=1.5, steps=3)
    assert together.tolist() == [delta(), delta(epsilon=0.6)]


X, H = np.arange(-9, 9, 0.02), 0.02


def ends(maps, s):
    """The two densities after K steps of `maps` f[K, x], values in [−1, 1], from starts far on either side."""
    P, Q = (norm.pdf(X, maps[0][at], s) for at in (-1, 0))
    for m in maps[1:]:
        kernel = norm.pdf(X[:, None], m, s) * H
        P, Q = kernel @ P, kernel @ Q
    return P, Q


def hockey_stick(P, Q, epsilon):
    return np.sum(np.maximum(P - np.exp(epsilon) * Q, 0)) * H


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_steps_to_the_nearer_end_of_the_ball_keep_it_and_one_step_more_is_caught(steps):
    P, Q = ends([np.where(X < 0, -1.0, 1.0)] * steps, 1.0)
    for epsilon, close in ((0.2, 0.85), (1.0, 0.0)):
        bound = clipped_chain(epsilon, ratio=2.0, steps=steps)
        for A, B in ((P, Q), (Q, P)):
            true = hockey_stick(A, B, epsilon)
            assert close * bound <= true <= bound * (1 + 1e-4)
            if close:
                assert true > clipped_chain(epsilon, ratio=2.0, steps=steps + 1)


def test_random_maps_into_the_ball_keep_it():
    rng, ratios = np.random.default_rng(0), []
    for _ in range(25):
        K, s = int(rng.integers(2, 5)), rng.uniform(0.4, 1.5)
        cuts = [np.sort(rng.normal(size=5)) for _ in range(K)]
        maps = [rng.choice([-1, 1, rng.uniform(-1, 1)], size=6)[np.searchsorted(cut, X)] for cut in cuts]
        maps[0][[0, -1]] = -1, 1
        P, Q = ends(maps, s)
        for epsilon in (0.0, 0.1, 0.5, 2.0):
            bound = clipped_chain(epsilon, ratio=2 / s, steps=K)
            ratios.append(max(hockey_stick(P, Q, epsilon), hockey_stick(Q, P, epsilon)) / bound)
    assert 0.3 < max(ratios) <= 1 + 1e-4


@pytest.mark.parametrize(
    ("epsilon", "settings", "sentence"),
    [(-1.0, {}, "at least 0"), (np.inf, {}, "at least 0"), (1.0, {"ratio": 0.0}, "above 0"),
     (1.0, {"ratio": np.nan}, "above 0"), (1.0, {"ratio": 1e200}, "above 0"), (1.0, {"steps": 0}, "at least one step")],
)  # fmt: skip
def test_chains_it_does_not_speak_of_are_refused(epsilon, settings, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        clipped_chain(epsilon, **{"ratio": 1.0, "steps": 2} | settings)
