"""What an array of the user's own may not be, and what is warned of."""

import jax
import numpy as np
import pytest
import scipy.sparse

import certunl as cu
from certunl.datasets._checks import clean, inputs

X = np.arange(20, dtype=np.float32).reshape(10, 2)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (scipy.sparse.csr_matrix(X), r"x is a sparse matrix; .*\.toarray\(\)"),
        (scipy.sparse.coo_array(X), r"x is a sparse matrix; .*\.toarray\(\)"),
        (scipy.sparse.dok_matrix(X), r"x is a sparse matrix; .*\.toarray\(\)"),
        ([[1, 2], [3]], "x is ragged"),
        ([np.zeros(2), np.zeros(3)], "x is ragged"),
        (np.array([np.zeros(2), np.zeros(3)], object), "x is ragged"),
        (np.array([1, "a", None], object), "x must hold real numbers, got dtype object"),
        (np.array([{}, {}], object), "x must hold real numbers, got dtype object"),
        (np.ma.masked_array(X, X > 3), r"x is an array with masked entries; .*\.filled\(0\)"),
        (np.zeros(3, "timedelta64[s]"), "x must hold real numbers, got dtype timedelta64"),
        (np.zeros(3, [("a", int)]), r"x must hold real numbers, got dtype \[\("),
        (["a", "b"], "x must hold real numbers, got dtype <U"),
        (np.uint32([2**31]), "32 bits hold at most"),
        (np.float64([1, 1e39]), r"x holds 1e\+39, but float32 ends at"),
        (np.int64([-(2**31) - 1]), "32 bits hold at most"),
        (np.uint64([2**63]), "32 bits hold at most"),
    ],
)
def test_what_is_no_dense_array_of_real_numbers_of_32_bits_is_refused(value, sentence):
    with jax.enable_x64(False), pytest.raises(cu.BadInput, match=sentence):
        clean(value, "x")


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.ma.masked_array(X), np.float32),
        (X > 3, np.float32),
        (np.int64([2**31 - 1]), np.int32),
        (np.uint16([7]), np.int32),
        (np.float64([0.1]), np.float32),
        (jax.numpy.ones(3, "bfloat16"), np.float32),
        ([[1, 2], [3, 4]], np.int32),
        (np.zeros((0, 3)), np.float32),
    ],
)
def test_other_arrays_become_32_bits(value, dtype):
    with jax.enable_x64(False):
        assert clean(value, "x").dtype == dtype and clean(value, "x").shape == np.shape(value)


def test_each_array_of_a_dictionary_is_looked_at():
    tree = inputs({"ids": np.zeros((10, 3), np.int64), "more": {"mask": np.ones((10, 3), bool)}}, "x")
    assert tree["ids"].dtype == np.int32 and tree["more"]["mask"].dtype == np.float32
    with pytest.raises(cu.BadInput, match="x is ragged"):
        inputs({"ids": [[1, 2], [3]], "mask": np.ones(2)}, "x")


def test_float64_stays_under_x64():
    with jax.enable_x64(True):
        assert clean(np.float64([1 + 1e-12, 1]), "x").tolist() == [1 + 1e-12, 1]


@pytest.mark.parametrize(
    "column",
    [1e9 + np.arange(100.0), 1.7e9 + np.arange(100.0), 1 + 1e-9 * np.arange(100), 2.0**53 + np.arange(100.0) * 2,
     np.concatenate([np.arange(80.0), 1e8 + np.arange(20)])],
)  # fmt: skip
def test_float64_columns_whose_numbers_become_equal_are_warned_of(column):
    with (
        jax.enable_x64(False),
        pytest.warns(UserWarning, match="different numbers of column 1 of x become equal in float32"),
    ):
        clean(np.stack([np.arange(100.0), column], 1), "x")


def test_random_float64_numbers_are_not_warned_of():
    rng = np.random.default_rng(0)
    for column in (rng.normal(size=200_000), rng.random(200_000), 1e9 * rng.normal(size=1000), np.full(100, 1e9 + 1)):
        with jax.enable_x64(False):
            clean(column, "x")
