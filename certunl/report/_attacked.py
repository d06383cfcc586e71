"""Figures of one attack on all models."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from certunl.evaluation import Report
from certunl.membership.roc import Attacked
from certunl.report._looks import GRID, blank, legend, looks, methods

__all__ = ["areas", "curves"]

_CONTROL = "members shuffled"


def curves(report: Report, results: dict[str, Attacked]) -> Figure:
    """The ROC curve of each model in `results`, on logarithmic axes."""
    styles = looks(report, results)
    figure, axes = blank(5.2)
    # a logarithmic axis has no 0: each begins at half of its smallest rate above 0
    left = 0.5 / max(2, *(result.others for result in results.values()))
    low = 0.5 / max(2, *(result.members for result in results.values()))
    line = np.array([left, 1.0])
    axes.plot(line, line, color="#555555", linestyle=(0, (3, 2)), linewidth=1.8, zorder=4)
    for name, result in results.items():
        x, y = _dense(result, left)
        look = styles[name]
        width = max(look.width, 1.0)
        axes.plot(
            x, np.maximum(y, low / 10), color=look.colour, linewidth=width, linestyle=look.dash, zorder=look.order
        )
    axes.set(xscale="log", yscale="log", xlim=(left, 1), ylim=(min(low, left), 1.15))
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.grid(color=GRID, linewidth=0.8)
    legend(figure, report, styles, {"chance": Line2D([], [], color="#555555", linestyle=(0, (3, 2)), linewidth=1.8)})
    return figure


def _dense(result: Attacked, left: float) -> tuple[np.ndarray, np.ndarray]:
    """The curve with more points: a straight line between two points is bent on logarithmic axes."""
    fpr, tpr = np.asarray(result.fpr, float), np.asarray(result.tpr, float)
    if not len(fpr):
        return fpr, tpr
    between = np.geomspace(left, 1, 200)
    x, y = np.append(fpr, between), np.append(tpr, np.interp(between, fpr, tpr))
    order = np.lexsort((y, x))
    return np.maximum(x[order], left), y[order]


def areas(report: Report, attack: str, results: dict[str, Attacked]) -> Figure:
    """The AUC of each model in `results` with its interval, and that of the control of the attack."""
    names, styles = list(results), looks(report, results)
    control = report.controls.get(attack)
    figure, axes = blank(0.2 * (len(names) + (control is not None)) + 0.9)
    axes.axvline(0.5, color="#555555", linestyle=(0, (3, 2)), linewidth=1.2)
    if "retrain" in results:
        axes.axvspan(results["retrain"].low, results["retrain"].high, color="#000000", alpha=0.1, linewidth=0)
    for place, (name, result) in enumerate(results.items()):
        colour = styles[name].colour if styles[name].in_legend else "#888888"
        axes.plot([result.low, result.high], [place, place], color=colour, linewidth=2)
        axes.plot(result.auc, place, "o", color=colour, markersize=5.5)
    methods(axes, names + [_CONTROL] * (control is not None), styles)
    if control is not None:
        last, colour = len(names), "#444444" if control.at_chance else "#c0152f"
        axes.plot([control.low, control.high], [last, last], color=colour, linewidth=2)
        axes.plot(control.auc, last, "x", color=colour, markersize=6, markeredgewidth=2)
        axes.get_yticklabels()[-1].set_color(colour)
    axes.set_xlabel("area under the ROC curve")
    return figure
