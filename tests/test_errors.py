"""The checks of settings: what they take, what they refuse, and the one sentence."""

import math

import numpy as np
import pytest

from certunl.errors import BadInput, nonnegative, one_of, positive, share, whole

NUMBERS = (float("nan"), math.inf, -math.inf, "1", None, [1.0], True, 1j)


@pytest.mark.parametrize("wrong", [*NUMBERS, 0, -1])
def test_what_is_no_positive_number_is_refused(wrong):
    with pytest.raises(BadInput, match=r"^rate must be a positive number, got "):
        positive(right=1, rate=wrong)


@pytest.mark.parametrize("wrong", [*NUMBERS, -1e-300])
def test_what_is_no_number_of_at_least_0_is_refused(wrong):
    with pytest.raises(BadInput, match=r"^decay must be a number of at least 0, got "):
        nonnegative(decay=wrong)


@pytest.mark.parametrize("wrong", [*NUMBERS, 0, 1, 1.5])
def test_what_is_no_share_is_refused(wrong):
    with pytest.raises(BadInput, match=r"^delta must lie strictly between 0 and 1, got "):
        share(delta=wrong)


@pytest.mark.parametrize("wrong", [*NUMBERS, 0, 2.0, 11])
def test_what_is_no_whole_number_in_its_limits_is_refused(wrong):
    with pytest.raises(BadInput, match=r"^steps must be a whole number from 1 to 10, got "):
        whole(steps=wrong, most=10)


def test_numbers_of_numpy_and_the_edges_are_taken():
    positive(a=np.float32(0.1), b=1e-300, c=np.int64(3))
    nonnegative(a=0, b=0.0)
    share(a=1e-300, b=1 - 1e-16)
    whole(a=np.int32(1), b=10, most=10)
    whole(a=0, least=0)
    one_of((None, "a"), x=None, y="a")


def test_none_is_taken_where_it_means_something_and_the_sentence_says_what():
    positive("to measure it", scale=None)
    whole("", chunk=None)
    with pytest.raises(BadInput, match=r"^scale must be a positive number, or None to measure it, got 0$"):
        positive("to measure it", scale=0)
    with pytest.raises(BadInput, match=r"^chunk must be a whole number of at least 1, or None, got 0$"):
        whole("", chunk=0)
    with pytest.raises(BadInput, match=r"^x must be one of None, a, got 'b'$"):
        one_of((None, "a"), x="b")
