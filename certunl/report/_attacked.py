"""Figures of one attack on every method."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from certunl.evaluation import Report
from certunl.membership.roc import Attacked
from certunl.report._looks import GRID, blank, legend, looks, methods

__all__ = ["areas", "curves"]

_CONTROL = "members shuffled"


def curves(report: Report, held: dict[str, Attacked]) -> Figure:
    """The ROC curve of each model in `held`, on logarithmic axes."""
    seen = looks(report, held)
    figure, axes = blank(5.2)
    left = 0.5 / max(2, *(found.others for found in held.values()))
    low = 0.5 / max(2, *(found.members for found in held.values()))
    line = np.array([left, 1.0])
    axes.plot(line, line, color="#555555", linestyle=(0, (3, 2)), linewidth=1.8, zorder=4)
    for name, found in held.items():
        x, y = _dense(found, left)
        look = seen[name]
        width = max(look.width, 1.0)
        axes.plot(
            x, np.maximum(y, low / 10), color=look.colour, linewidth=width, linestyle=look.dash, zorder=look.order
        )
    axes.set(xscale="log", yscale="log", xlim=(left, 1), ylim=(min(low, left), 1.15))
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.grid(color=GRID, linewidth=0.8)
    legend(figure, report, seen, {"chance": Line2D([], [], color="#555555", linestyle=(0, (3, 2)), linewidth=1.8)})
    return figure


def _dense(found: Attacked, left: float) -> tuple[np.ndarray, np.ndarray]:
    """The curve with points enough that its straight lines are right where logarithmic axes bend them."""
    fpr, tpr = np.asarray(found.fpr, float), np.asarray(found.tpr, float)
    if not len(fpr):
        return fpr, tpr
    between = np.geomspace(left, 1, 200)
    x, y = np.append(fpr, between), np.append(tpr, np.interp(between, fpr, tpr))
    order = np.lexsort((y, x))
    return np.maximum(x[order], left), y[order]


def areas(report: Report, attack: str, held: dict[str, Attacked]) -> Figure:
    """AUC and interval of each model in `held`, and of the attack's control."""
    names, seen = list(held), looks(report, held)
    control = report.controls.get(attack)
    figure, axes = blank(0.2 * (len(names) + (control is not None)) + 0.9)
    axes.axvline(0.5, color="#555555", linestyle=(0, (3, 2)), linewidth=1.2)
    if "retrain" in held:
        axes.axvspan(held["retrain"].low, held["retrain"].high, color="#000000", alpha=0.1, linewidth=0)
    for place, (name, found) in enumerate(held.items()):
        colour = seen[name].colour if seen[name].told else "#888888"
        axes.plot([found.low, found.high], [place, place], color=colour, linewidth=2)
        axes.plot(found.auc, place, "o", color=colour, markersize=5.5)
    methods(axes, names + [_CONTROL] * (control is not None), seen)
    if control is not None:
        last, colour = len(names), "#444444" if control.at_chance else "#c0152f"
        axes.plot([control.low, control.high], [last, last], color=colour, linewidth=2)
        axes.plot(control.auc, last, "x", color=colour, markersize=6, markeredgewidth=2)
        axes.get_yticklabels()[-1].set_color(colour)
    axes.set_xlabel("area under the ROC curve")
    return figure
