"""What stands in the figures: nothing cut off, nothing over anything else, and the numbers where they belong."""

import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from certunl.evaluation import Report
from certunl.membership.roc import Attacked, judge
from certunl.report._draw import figures
from tests import reports

EDGE = 1.5
"""Pixels."""


def renamed(report, names):
    """`report` with its rows called otherwise."""

    def called(held):
        return {names.get(name, name): value for name, value in held.items()}

    changed = {name: called(getattr(report, name)) for name in ("rows", "verdicts", "attacks", "audits", "tradeoffs")}
    return dataclasses.replace(report, **changed)


def few(report, names):
    kept = {
        field: {name: value for name, value in getattr(report, field).items() if name in names}
        for field in ("rows", "verdicts", "attacks", "audits", "tradeoffs")
    }
    return dataclasses.replace(report, **kept)


def classes(report, count):
    rows = {
        name: {c: v for c, v in row.items() if not c.startswith("class_")}
        | {f"class_kind_of_animal_{k}_test_accuracy": k / count for k in range(count)}
        for name, row in report.rows.items()
    }
    return dataclasses.replace(report, rows=rows)


FULL = reports.report(attacks=("lira",))
CASES = {
    "twenty methods": FULL,
    "two models": few(FULL, ("original", "retrain")),
    "one certified method": few(FULL, ("original", "retrain", "newton", "newton + noise")),
    "long names": renamed(FULL, {name: name * 5 for name in FULL.rows if name not in ("original", "retrain")}),
    "a hundred classes": classes(FULL, 100),
}


def ticks(axis):
    """The labels that are drawn."""
    low, high = sorted(axis.get_view_interval())
    return [label for label, at in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True) if low <= at <= high]


def faults(figure):
    """What a reader could not read."""
    figure.set_dpi(150)
    FigureCanvasAgg(figure).draw()
    axes, found = figure.axes[0], []
    texts = [*ticks(axes.xaxis), *ticks(axes.yaxis), axes.xaxis.label, axes.yaxis.label, *axes.texts]
    for legend in figure.legends:
        texts += legend.get_texts()
        if legend.get_window_extent().overlaps(axes.get_tightbbox()):
            found.append("the legend covers the axes")
    whole = figure.bbox.padded(EDGE)
    for text in texts:
        box = text.get_window_extent()
        if text.get_text() and not (whole.contains(*box.p0) and whole.contains(*box.p1)):
            found.append(f"cut off: {text.get_text()}")
    for side in (ticks(axes.xaxis), ticks(axes.yaxis)):
        for a, b in itertools.pairwise(side):
            if a.get_window_extent().overlaps(b.get_window_extent().padded(-EDGE)):
                found.append(f"{a.get_text()} covers {b.get_text()}")
    if axes.bbox.width < 0.4 * figure.bbox.width or axes.bbox.height < 0.25 * figure.bbox.height:
        found.append("nearly nothing left for the axes")
    return found


@pytest.mark.parametrize("case", CASES)
def test_no_text_is_cut_off_and_none_covers_another(case):
    found = {name: faults(figure) for name, _, figure in figures(CASES[case])}
    assert len(found) >= 6 and not any(found.values()), found


def test_planted_faults_are_found():
    figure = next(figure for name, _, figure in figures(FULL) if name == "roc-lira")
    figure.axes[0].text(0.9, 0.5, "long " * 20, in_layout=False)
    figure.axes[0].set_xticks([0.1, 0.101], ["one", "other"])
    figure.legend(["x"], loc="center")
    assert {fault.split()[0] for fault in faults(figure)} == {"cut", "one", "the"}


def one(kind, report):
    return next(figure for name, _, figure in figures(report) if name.startswith(kind)).axes[0]


def test_points_stand_at_their_numbers():
    axes = one("distance", FULL)
    names = [name for name in FULL.rows if name != "retrain"]
    dots = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == pytest.approx(np.array([(FULL.rows[n]["relative_distance"], k) for k, n in enumerate(names)]))
    assert [label.get_text() for label in axes.get_yticklabels()] == names and axes.get_xscale() == "log"


@pytest.mark.parametrize("span", [1.0, 1.03, 1.5, 4, 30, 1e3, 1e7, 1e12])
@pytest.mark.parametrize("low", [1e-9, 0.07, 0.98, 2.3, 1e5])
def test_labels_of_logarithmic_axes_never_cover_one_another(low, span):
    names = ["retrain", "newton", "finetune"]
    rows = {name: {"seconds": s} for name, s in zip(names, (low, low * span, low * span**0.4), strict=True)}
    figure = next(figure for name, _, figure in figures(Report(rows, 1, {})) if name == "time")
    shown = ticks(figure.axes[0].xaxis)
    assert faults(figure) == [] and 1 <= len(shown) <= 8
    assert len({label.get_text() for label in shown}) == len(shown)


def test_a_certified_noise_level_is_marked_on_its_curve():
    rows = {name: dict(row) for name, row in FULL.rows.items()}
    rows["newton"]["sigma"] = rows["newton + noise"]["sigma"] = 0.1
    tradeoffs = {"newton": {0.0: 0.9, 0.01: 0.8, 1.0: 0.4}}
    axes = one("tradeoff", dataclasses.replace(FULL, rows=rows, tradeoffs=tradeoffs))
    star = next(line for line in axes.lines if line.get_marker() == "*")
    assert star.get_xydata()[0] == pytest.approx([0.1, 0.6])
    curve = axes.lines[0].get_xydata()
    assert curve[1:] == pytest.approx(np.array([[0.01, 0.8], [1, 0.4]])) and 0 < curve[0][0] < 0.01
    few = one("tradeoff", dataclasses.replace(FULL, rows=rows, tradeoffs={"newton": {0.0: 0.9, 0.012: 0.8}}))
    assert not any(line.get_marker() == "*" for line in few.lines) and len(ticks(few.xaxis)) == 3
    assert next(line.get_xdata() for line in few.lines if line.get_linestyle() == ":") == [0.1, 0.1]
    apart = rows | {"newton": {}, "newton + noise": {"sigma": 0.1}}  # as `evaluate` names them
    again = one("tradeoff", dataclasses.replace(FULL, rows=apart, tradeoffs=tradeoffs))
    star = next(line for line in again.lines if line.get_marker() == "*")
    assert star.get_xydata()[0] == pytest.approx([0.1, 0.6])
    bare = one("tradeoff", dataclasses.replace(FULL, rows={"newton": {}}, tradeoffs={"newton": {0.0: 0.9, 0.012: 0.8}}))
    assert [label.get_text() for label in ticks(bare.xaxis)] == ["none", "0.012"]
    assert axes.get_xticklabels()[0].get_text() == "none" and axes.get_xticks()[0] == pytest.approx(curve[0][0])


def test_curves_bend_as_logarithmic_axes_bend_a_straight_line():
    line = dict(auc=0.5, low=0.4, high=0.6, tpr_at_0_1=0.001, tpr_at_1=0.01, members=1000, others=1000)
    chance = Attacked(**line, fpr=(0.0, 1.0), tpr=(0.0, 1.0))
    steps = judge([5, 4, 3, 2], [1, 0, 1, 0])
    rows = {"original": {}, "retrain": {}}
    held = Report(rows, 1, {}, attacks={"original": {"a": chance}, "retrain": {"a": steps}})
    axes = one("roc", held)
    drawn = axes.lines[1].get_xydata()
    assert len(drawn) > 100 and drawn[1:, 0] == pytest.approx(drawn[1:, 1])
    x, y = axes.lines[2].get_xydata().T
    assert (
        np.interp([0.4, 0.6], x, y) == pytest.approx([0.5, 1]) and (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
    )


def test_what_carries_a_guarantee_has_a_colour_of_its_own_in_every_figure():
    colours = {}
    for kind, dot in (("roc", "None"), ("auc", "o")):
        lines = [line for line in one(kind, FULL).lines if line.get_marker() == dot and len(line.get_xdata()) != 2]
        colours[kind] = {name: line.get_color() for name, line in zip(FULL.attacks, lines, strict=True)}
    assert colours["auc"]["retrain"] == colours["roc"]["retrain"] == "#000000"
    for name in ("original", "newton + noise", "rewind_to_delete", "noisy_sgd"):
        assert colours["auc"][name] == colours["roc"][name]
    assert len({colours["roc"][name] for name in ("newton + noise", "rewind_to_delete", "noisy_sgd", "scrub")}) == 4
    assert colours["roc"]["newton"] == colours["roc"]["descent_to_delete"] == colours["roc"]["scrub"]
