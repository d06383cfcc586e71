"""The noise of a release has the law of the theorem, to the last bit."""

import copy
import math
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

import certunl as cu
from certunl.certificates import noise
from certunl.certificates.secret import expanded

DRAWS = 1_000_000


def p_value(counts, rest, ratio):
    """Of a chi-square test that cells of width 1 around the integers hold N(rest, ratio²)."""
    cells = np.arange(-25, 26)
    edges = np.concatenate([[-np.inf], (cells[:-1] + 0.5 - rest) / ratio, [np.inf]])
    expected = DRAWS * np.diff(stats.norm.cdf(edges))
    seen = np.bincount(np.clip(counts, -25, 25).astype(int) + 25, minlength=51)
    common = expected > 5
    expected = np.append(expected[common], expected[~common].sum())
    seen = np.append(seen[common], seen[~common].sum())
    return stats.chisquare(seen, expected).pvalue


@pytest.mark.parametrize("rest", [0.0, 0.5, -0.5, 0.25, -0.1])
def test_integers_have_exactly_the_masses_of_their_cells(rest):
    drawn = noise.integers(str(rest).encode(), np.full(DRAWS, rest), 4.0)
    assert p_value(drawn, rest, 4.0) > 1e-3
    assert p_value(drawn, rest, 4.0 * 1.01) < 1e-6 > p_value(drawn, rest, 4.0 / 1.01)
    assert p_value(drawn, rest + 0.05, 4.0) < 1e-6


def test_float64_normals_err_by_less_than_is_allowed_for():
    exponents = np.arange(1, 130)
    for scale in (1.0, 1.37, 1.99):
        p = scale * 2.0**-exponents / 2
        with mpmath.workdps(60):
            exact = [float(-mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * mpmath.mpf(one)) - float(ndtri(one))) for one in p]
        assert max(map(abs, exact)) < 1e-13 / 10
    words = np.array([[1, 2**63 + 12345678901], [2**64 - 1, 2**64 - 1], [0, 0]], np.uint64)
    for low, high in words:
        half = float(high) * 2.0**-65 + float(low) * 2.0**-129 + 2.0**-130
        with mpmath.workdps(60):
            u = mpmath.ldexp(2 * ((int(high) << 64) + int(low)) + 1, -130)
            assert abs(half / u - 1) < 2.0**-51
    assert float(ndtri(2.0**-130)) > -13.3


@pytest.mark.parametrize("sigma", [1e-11, 1e-4, 0.3, 1e3])
def test_what_is_computed_again_to_100_digits_is_the_same(sigma):
    seed, rest = os.urandom(32), np.random.default_rng(0).uniform(-0.5, 0.5, 40)
    ratio = sigma / noise.grid(sigma)
    np.testing.assert_array_equal(
        noise.integers(seed, rest, ratio), noise.integers(seed, rest, ratio, error=1.0 / ratio)
    )


def test_a_value_near_a_boundary_is_decided_by_100_digits(monkeypatch):
    """A rest chosen so that rest + ratio z is half an integer to within float64: only the digits can tell."""
    calls, refined = [], noise._refined
    monkeypatch.setattr(noise, "_refined", lambda *args: calls.append(args) or refined(*args))
    seed, ratio = b"boundary", 65536.0
    with mpmath.workdps(100):
        row = np.frombuffer(expanded(seed, b"normals" + bytes(8), 17), np.uint8)
        half = mpmath.ldexp(2 * int.from_bytes(row[:16].tobytes(), "little") + 1, -130)
        t = ratio * mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * half) * (-1 if row[16] & 1 else 1)
        rest = float(mpmath.floor(t) + mpmath.mpf("0.5") - t)  # t + rest is half an integer, but for rounding of rest
        if abs(rest) > 0.5:
            rest -= math.copysign(1, rest)
        exact = float(mpmath.nint(t + mpmath.mpf(rest)))
    assert noise.integers(seed, np.array([rest]), ratio)[0] == exact and len(calls) == 1


@pytest.mark.parametrize(("digits", "bits"), [(0, 3), (1, 3), (16, 1), (40, 7)])
def test_a_normal_whose_first_bits_are_too_few_gets_more_of_them(digits, bits):
    """128 bits of 0 say only that p < 2^-129: the next ones decide how far out the normal lies."""
    asked = []

    def more(count):
        asked.append(count)
        return (bytes(digits) + bytes([bits]) + bytes(64))[:count]

    for sign in (0, 1):
        row = np.array([0] * 16 + [sign], np.uint8)
        found = noise._refined(row, 0.25, 1000.0, more)
        with mpmath.workdps(200):
            p = mpmath.mpf(bits) / mpmath.mpf(256) ** (digits + 1) * mpmath.mpf(2) ** -129
            t = 0.25 + (-1) ** sign * 1000 * mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * p)
        assert found == float(mpmath.nint(t)) and abs(found) > 13_000
        assert max(asked) > digits


def test_improbable_normals_are_computed_again(monkeypatch):
    """Where the first 64 bits say p < 2^-45, float64 does not know the normal well enough."""
    rows, calls = np.zeros((2, 17), np.uint8), []
    rows[0, 8:16] = np.frombuffer((noise._FEW - 1).to_bytes(8, "little"), np.uint8)
    rows[1, 8:16] = np.frombuffer(noise._FEW.to_bytes(8, "little"), np.uint8)
    monkeypatch.setattr(noise, "expanded", lambda seed, purpose, count: rows.tobytes())
    monkeypatch.setattr(noise, "_refined", lambda row, *args: calls.append(row.tolist()) or 0.0)
    noise.integers(b"", np.zeros(2), 1024.0)
    assert calls == [rows[0].tolist()]


def test_the_sign_of_zero_does_not_tell_the_centre(monkeypatch):
    """A centre of -1e-12 rounds to cell -0, and its noise may be 0 or -0: the release is then 0 and never -0."""
    monkeypatch.setattr(noise, "integers", lambda seed, rest, ratio: np.where(np.arange(len(rest)) % 2, 0.0, -0.0))
    for dtype in (jnp.float32, jnp.float64, jnp.bfloat16):
        for centre in (-1e-12, 1e-12):
            out = np.asarray(noise.noised({"w": jnp.full(4, centre, dtype)}, 0.5, b"seed")["w"])
            assert (out == 0).all() and not np.signbit(out).any()


def test_no_class_is_derived_from_a_secret():
    with pytest.raises(cu.BadInput, match="no class is derived"):
        type("Twice", (type(cu.secret_key()),), {})


def test_a_secret_is_spent_by_one_thread_and_in_its_own_process(monkeypatch):
    secret = cu.secret_key()

    def spend(_):
        try:
            return secret.spend()
        except cu.BadInput:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert sum(bits is not None for bits in pool.map(spend, range(64))) == 1
    other = cu.secret_key()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(cu.BadInput, match="process that drew it"):
        other.spend()


def test_a_secret_is_spent_by_its_first_use_and_cannot_be_copied():
    secret = cu.secret_key()
    assert repr(secret) == "Secret(unused)" and len(bytes.fromhex(secret.digest)) == 32
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(cu.BadInput, match="secret"):
            copying(secret)
    assert len(secret.spend()) == 32 and repr(secret) == "Secret(spent)"
    with pytest.raises(cu.BadInput, match="used before"):
        secret.spend()
    assert cu.secret_key().digest != cu.secret_key().digest


@pytest.mark.parametrize("dtype", [np.float32, np.float64, jnp.bfloat16, np.float16])
def test_released_numbers_are_on_the_grid_of_sigma_alone_in_their_own_dtype(dtype):
    params = {"a": jnp.linspace(-1, 1, 7, dtype=dtype).reshape(7, 1), "b": jnp.asarray(2.0, dtype)}
    out = noise.noised(params, 0.5, b"seed")
    assert jax.tree.map(lambda x: (x.shape, x.dtype), out) == jax.tree.map(lambda x: (x.shape, x.dtype), params)
    if np.dtype(dtype).itemsize >= 4:
        cells = np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(out)]) * 2.0**17
        np.testing.assert_array_equal(cells, np.rint(cells))
    assert noise.noised(params, 0.0, b"seed") is params
    assert noise.grid(0.5) == noise.grid(0.99) == 2.0**-17 and noise.grid(1.0) == 2.0**-16


def test_noise_knows_nothing_of_the_centre():
    """The same secret on centres a multiple of the grid apart gives releases exactly as far apart."""
    spacing = noise.grid(0.3)
    x = jnp.asarray(np.random.default_rng(0).normal(size=1000))
    a, b = (np.asarray(noise.noised({"w": x + shift}, 0.3, b"seed")["w"]) for shift in (0.0, 1024 * spacing))
    np.testing.assert_array_equal(b - a, np.full(1000, 1024 * spacing))


def test_blocks_draw_different_numbers():
    drawn = noise.integers(b"seed", np.zeros(3 * 65536), 65536.0)
    assert len(np.unique(drawn)) > 120_000
    blocks = drawn.reshape(3, -1)
    assert abs(np.corrcoef(blocks)[np.triu_indices(3, 1)]).max() < 0.02


@pytest.mark.parametrize(
    ("params", "sigma", "sentence"),
    [
        (jnp.ones(2, complex), 1.0, "must be real"),
        (jnp.ones(2, int), 1.0, "must be real numbers"),
        (jnp.ones(2), 1e-310, "too small or too large"),
        (jnp.full(2, 1e300), 1e-30, "too small or too large"),
    ],
)
def test_parameters_that_cannot_carry_noise_are_refused(params, sigma, sentence):
    with pytest.raises(cu.BadInput, match=sentence):
        noise.noised({"w": params}, sigma, b"seed")


@pytest.mark.parametrize("number", [np.float16, np.float32, jnp.float16, jnp.bfloat16, np.uint8, jnp.float32])
def test_settings_in_other_types_are_numbers_of_python(number):
    """np.float16 / 2**-17 is infinite, and 2 * np.uint8(200) is 144."""
    clipping, noisy = cu.ModelClipping(radius=number(200), noise=number(5)), cu.NoisyFineTuning(clip_norm=number(3))
    budget, recipe = cu.Budget(delta=1e-5, sigma=number(2)), cu.Recipe(radius=number(200), epochs=2)
    for value in (clipping.radius, clipping.noise, noisy.clip_norm, budget.sigma, recipe.radius):
        assert type(value) in (int, float)
    assert clipping.radius == 200 == recipe.radius and budget.sigma == 2
    constants = cu.HessianFreeConstants(gradient_bound=number(2), smoothness=1.0, hessian_lipschitz=0.1, convexity=0.0)
    assert type(constants.gradient_bound) in (int, float)
    drawn = noise.integers(b"seed", np.zeros(100), number(128))
    np.testing.assert_array_equal(drawn, noise.integers(b"seed", np.zeros(100), 128.0))


def test_noise_without_a_finite_ratio_is_refused():
    with pytest.raises(cu.BadInput, match="finite ratio"):
        noise.integers(b"seed", np.zeros(3), math.inf)
