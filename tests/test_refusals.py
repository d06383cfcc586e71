"""docs/refusals.md says what wrong inputs say."""

import re

import jax
import pytest

from tests.refusals import INPUTS, PAGE, answer, scope

ROWS = dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def names():
    with jax.enable_x64(False):
        yield scope()


def test_the_page_has_every_input_once():
    assert list(ROWS) == INPUTS and len(INPUTS) > 40


@pytest.mark.parametrize("text", INPUTS)
def test_an_input_gets_the_sentence_of_the_page(text, names):
    with jax.enable_x64(False):
        said = answer(text, names)
    assert "\n" not in said and len(said) < 300
    # what other libraries add in brackets differs between their versions
    assert ROWS[text].replace("\\*", "*").split(" (")[0] == said.split(" (")[0]
