"""The figure of accuracy against noise."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from certunl.evaluation import Report
from certunl.report._looks import GRID, blank, fits, legend, looks

__all__ = ["tradeoffs"]


def tradeoffs(report: Report) -> Figure:
    """The test accuracy of each model at each noise level, with a star at its certified noise.

    The point without noise is at the left end, labelled «none», because a logarithmic axis has no 0.
    """
    curves = {name: dict(sorted(curve.items())) for name, curve in report.tradeoffs.items() if max(curve, default=0)}
    sigmas = sorted({sigma for curve in curves.values() for sigma in curve if sigma > 0})
    nothing = sigmas[0] / 10 ** max(0.3, 0.14 * np.log10(sigmas[-1] / sigmas[0]))
    styles = looks(report, curves)
    figure, axes = blank(4.6)
    axes.set(xscale="log", xlabel="standard deviation of the noise", ylabel="test accuracy")
    for name, curve in curves.items():
        look, x = styles[name], [sigma or nothing for sigma in curve]
        y = list(curve.values())
        axes.plot(x, y, color=look.colour, linewidth=look.width, linestyle=look.dash, zorder=look.order)
        noised = report.rows.get(f"{name} + noise", report.rows.get(name, {}))
        sigma = noised.get("sigma", np.nan)
        if fits(sigma) and not min(curve) <= sigma <= max(curve):  # no accuracy was measured there
            axes.axvline(sigma, color=look.colour, linestyle=":", linewidth=1.5)
        elif fits(sigma):
            at = np.interp(np.log(sigma), np.log(x), y)
            axes.plot(sigma, at, "*", color=look.colour, markersize=11, markeredgecolor="black", zorder=9)
    axes.minorticks_off()
    low, high = (int(np.floor(np.log10(sigmas[place]))) for place in (0, -1))
    steps = (1,) if high - low > 2 else (1, 3)
    ticks = [s * 10.0**k for k in range(low, high + 2) for s in steps if sigmas[0] * 0.99 <= s * 10.0**k]
    ticks = [tick for tick in ticks if tick <= axes.get_xlim()[1]] or sigmas[-1:]
    axes.set_xticks([nothing, *ticks], ["none", *(f"{tick:.2g}" for tick in ticks)])
    axes.grid(color=GRID, linewidth=0.8)
    more = {"certified noise": Line2D([], [], marker="*", color="white", markeredgecolor="black", markersize=10)}
    if fits(truth := report.rows.get("retrain", {}).get("test_accuracy", np.nan)):
        more["retrained"] = axes.axhline(truth, color="black", linestyle=":", linewidth=1)
    legend(figure, report, styles, more)
    return figure
