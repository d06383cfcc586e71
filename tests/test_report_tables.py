"""Beside the numbers of a table: the first sentence, intervals, and colours that show differences to retraining."""

import re

import numpy as np
import pytest
from scipy.stats import binomtest

from certunl.evaluation.intervals import wilson
from certunl.evaluation.lead import lead
from certunl.evaluation.markup import markup
from certunl.evaluation.shading import shade
from certunl.evaluation.tables import Table, main, turned
from certunl.report import draw, markdown, page
from certunl.report._html import _STYLE
from tests import reports
from tests.test_report import audit, small, tables

ROWS = {
    "original": {"test_accuracy": 0.99, "seconds": np.nan},
    "retrain": {"test_accuracy": 0.96, "seconds": 38.2},
    "newton": {"test_accuracy": 0.97, "seconds": 0.5},
    "newton + noise": {"test_accuracy": 0.91, "seconds": 0.5},
    "scrub": {"test_accuracy": 0.955, "seconds": 2.0},
}
PROVED = {"newton": "PROVED", "newton + noise": "PROVED", "scrub": "NOT CERTIFIED"}
CLAIMS = {"newton + noise": (1.0, 1e-5)}


def test_the_first_sentence_says_which_row_is_proved_and_what_it_costs():
    report = small(rows=ROWS, verdicts=PROVED, claims=CLAIMS)
    said = "newton + noise is PROVED with epsilon 1 at delta 1e-05: test accuracy 0.91 (retraining 0.96), 0.5 s "
    assert lead(report) == f"{said}(retraining 38.2 s)."
    assert page("x", {}, [report]).index(said) < page("x", {}, [report]).index("This page")
    text = markdown("x", {}, [small(), small(request="class:3")])
    assert "\n\nNo row is PROVED: nothing was certified.\n\nclass:3: No row is PROVED" in text


def test_the_best_of_several_proved_rows_is_described_and_retraining_is_no_method():
    verdicts = PROVED | {"scrub": "PROVED", "mine": "PROVED"}  # "mine" released retraining itself, so it has no row
    said = lead(small(rows=ROWS, verdicts=verdicts, claims=CLAIMS))
    assert said.startswith("scrub is PROVED: test accuracy 0.955") and said.endswith("PROVED: newton + noise, mine.")
    assert lead(small(rows=ROWS, verdicts={"mine": "PROVED"})).startswith("mine is PROVED: test accuracy 0.96 (retr")
    losses = {"retrain": {"test_loss": 1.0}, "a": {"test_loss": 3.0}, "b": {"test_loss": 2.0}, "c": {}}
    said = lead(small(rows=losses, verdicts=dict.fromkeys("abc", "PROVED")))
    assert said == "b is PROVED: test loss 2 (retraining 1). Also PROVED: a, c."


def test_without_a_proof_the_first_sentence_says_so():
    verdicts = {"newton": "VACUOUS", "newton + noise": "VACUOUS", "scrub": "CONDITIONAL"}
    assert lead(small(rows=ROWS, verdicts=verdicts)) == "No row is PROVED: 2 VACUOUS, 1 CONDITIONAL."
    refuted = small(rows=ROWS, verdicts={"scrub": "PROVED"}, audits={"scrub": audit(2.0)})
    assert lead(refuted) == "No row is PROVED: 1 REFUTED."


@pytest.mark.parametrize(("right", "size"), [(0, 1), (93, 100), (100, 100), (9912, 10000)])
def test_the_interval_is_wilson_s(right, size):
    exact = binomtest(right, size).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(right / size, size), (exact.low, exact.high), atol=1e-12)


def test_an_accuracy_has_its_interval_below_it_where_the_examples_are_counted():
    report = small(rows=ROWS, examples={"test": 2000})
    text, marked = page("x", {}, [report]), markdown("x", {}, [report])
    assert "0.96<br><small>[0.950, 0.968]</small>" in text and "0.96 \\[0.950, 0.968\\]" in marked
    assert "95% interval of an accuracy" in text and text.count("<small>") == len(ROWS)
    assert "<small>" not in page("x", {}, [small(rows=ROWS)])
    close = small(rows=ROWS, examples={"test": 10**6})
    assert "[0.9596, 0.9604]" in tables(page("x", {}, [close]))[0][2][2]


@pytest.mark.parametrize(
    ("column", "value", "truth", "expected"),
    [
        ("test_accuracy", 0.91, 0.96, -0.5),
        ("forget_accuracy", 1.0, 0.1, 1.0),
        ("auc", 0.52, 0.5, 0.2),
        ("test_loss", 0.5, 0.25, 1.0),
        ("test_loss", 0.25, 0.5, -1.0),
        ("test_loss", 0.0, 0.5, 0.0),
        ("relative_distance", 0.25, 0.0, 0.25),
        ("test_accuracy", np.nan, 0.5, 0.0),
        ("seconds", 9.0, 1.0, 0.0),
    ],
)
def test_a_colour_is_a_difference_to_retraining(column, value, truth, expected):
    assert shade(column, value, truth) == expected


def test_colours_and_intervals_follow_their_numbers_when_a_table_is_turned():
    table = main(small(rows=ROWS, verdicts=PROVED, examples={"test": 2000}))
    assert table.shades == {(0, 2): 0.3, (2, 2): 0.1, (3, 2): -0.5, (4, 2): -0.05}
    other = turned(table)
    assert other.shades == {(1, i + 1): shade for (i, _), shade in table.shades.items()}
    assert other.small[1, 4] == table.small[3, 2] and other.rows[1][4] == table.rows[3][2] == "0.91"
    text = markup(other)
    assert 'style="background: rgba(0, 114, 178, 0.15)">0.91<br>' in text and text.count("<td") == 15
    assert ">Orange</span>: above retraining. <span" in text and ">Blue</span>: below" in text
    assert "Orange" not in markup(Table(["a"], [["b"]]))


def test_a_notebook_shows_the_tables_of_the_page_and_nothing_that_runs():
    report = reports.report(attacks=("loss_threshold", "lira"))
    shown, text = report._repr_html_(), page("x", {}, [report], figures=[[]])
    assert tables(shown) == tables(text)
    assert lead(report) in shown and "<strong>REFUTED: rewind_to_delete claims" in shown
    assert not any(word in shown for word in ("<script", "<img", "http", "#fff")) and len(shown) < 40_000
    assert "<b>" not in small(request="<b>")._repr_html_() and "Audits" not in small()._repr_html_()


def luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (np.array(colour) / 255)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [0, 1])
def test_numbers_are_readable_on_every_colour_by_day_and_by_night(mode):
    variables = re.findall(r"--(\w+): #(\w+)", _STYLE)
    assert len(variables) == 18
    inks = {name: digits(value) for name, value in variables[9 * mode :][:9]}
    paper = np.array(inks["paper"])
    full = Table(["", ""], [["x", "1"], ["y", "2"]], shades={(0, 1): 1.0, (1, 1): -1.0})
    for *rgb, thin in re.findall(r"<td style=\"background: rgba\((\d+), (\d+), (\d+), ([\d.]+)\)", markup(full)):
        behind = paper + float(thin) * (np.array(rgb, float) - paper)
        assert min(contrast(inks[name], behind) for name in ("ink", "red", "blue", "brown")) >= 4.5
        assert contrast(behind, paper) > 1.2  # it is seen
        assert contrast(inks["soft"], behind) > 3


def digits(colour):
    """ "fff" and "ffffff" as three numbers."""
    pairs = re.findall("..", colour) if len(colour) == 6 else [2 * digit for digit in colour]
    return [int(pair, 16) for pair in pairs]


def test_the_colour_of_a_class_is_its_difference_to_retraining():
    columns = {f"class_{c}_test_accuracy": 0.9 for c in range(3)}
    rows = {"retrain": columns, "newton": columns | {"class_1_test_accuracy": 0.4}}
    assert [one.name for one in draw(small(rows=rows))] == ["01-classes-test.png"]
    assert draw(small(rows={"newton": columns})) == []
