"""The page as a reader sees it, in headless Chromium: every figure shown, no text cut off, at a desk and on a phone."""

import dataclasses

import pytest

from certunl.report import draw, page
from tests import reports
from tests.browser import browser, look

WIDTHS = (1100, 400)
LONG = "a_method_with_a_name_that_nobody_would_type_twice_in_one_day_or_even_at_all"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    browser()
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def text():
    told = reports.reports(sizes=(100, 500), attacks=("loss_threshold", "lira", "update_difference"))
    long = {"/".join(["path"] * 40): "x" * 300, "seed": {LONG: list(range(100))}}
    told[0].rows[LONG] = told[0].rows.pop("newton")
    told[0].attacks[LONG] = told[0].attacks.pop("newton")
    told[0].left_out[LONG] = "y" * 200
    certificates = {"newton-1": "PROVED: newton, every assumption is proved\n  compared with  " + "retraining " * 40}
    drawn = [draw(told[0], "1-"), []]  # the second has none
    return page(
        f"certunl: {LONG}",
        long,
        [dataclasses.replace(one, certificates=certificates) for one in told],
        ["z" * 200],
        figures=drawn,
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_shown_and_no_text_is_cut_off(text, folder, width):
    told = look(text, width, folder)
    assert told["found"] == [] and told["images"] == text.count("<img") == 12 and told["height"] > 3000


def test_tables_fit_a_printed_page(text, folder):
    screen = text.replace("@media print {", "@media all {")
    assert screen != text and look(screen, 1032, folder)["found"] == []  # A4 landscape within its margins
    upright = look(screen, 718, folder)["found"]
    assert any(found.startswith("overflowing div.wide") for found in upright)


FAULTS = {
    "a broken figure": (";base64,iVBOR", ";base64,XXXX", "broken img"),
    "a missing figure": ('src="data:image/png', 'src="figure.png', "broken img"),
    "a figure of no size": (
        "img { display: block; width: 100%;",
        "img { display: block; width: 0;",
        "out of sight img",
    ),
    "a figure too wide": (
        "img { display: block; width: 100%;",
        "img { display: block; width: 1200px;",
        "out of sight img",
    ),
    "a figure without words": ('<img alt="', '<img title="', "no alt text"),
    "tables that push the page": ("div.wide { overflow-x: auto;", "div.wide {", "overflowing div.wide"),
    "lines that do not break": (
        "white-space: pre-wrap; overflow-wrap: anywhere;",
        "white-space: pre;",
        "overflowing pre",
    ),
    "words that do not break": (
        "background: var(--paper); overflow-wrap: anywhere",
        "background: var(--paper)",
        "overflowing p.warning",
    ),
    "cells cut off": ("th, td {", "td { max-width: 3rem; overflow: hidden } th, td {", "overflowing td"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(text, folder, fault):
    before, after, finding = FAULTS[fault]
    assert before in text
    told = look(text.replace(before, after, 1), 400, folder)
    assert any(found.startswith(finding) for found in told["found"]), told["found"]
