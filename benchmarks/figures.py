"""The figure of benchmarks/README.md, drawn from the last saved lines."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.device_tables import exponent
from benchmarks.saved import Line, Saved

__all__ = ["draw_growth"]

PANELS = {"n": "examples n", "d": "parameters d", "T": "steps T", "devices": "devices"}
LOOKS = {"rows": ("#0072B2", "o"), "newton": ("#D55E00", "s"), "retraining": ("#009E73", "^")}


def draw_growth(saved: Saved) -> Path | None:
    """growth.svg in the folder of results, on logarithmic axes; None if no line is saved.

    A point is the median of a size, a line the fitted power. The same lines give the same file.
    """
    if not saved.lines("growth"):
        return None
    import matplotlib as mpl
    from matplotlib.figure import Figure

    path = saved.results / "growth.svg"
    with mpl.rc_context({"svg.hashsalt": "certunl", "font.size": 8, "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 7.5), layout="constrained")
        panels = dict(zip(PANELS, figure.subplots(2, 2).flat, strict=True))
        for line in saved.latest("growth", "work", "varied"):
            _plot(panels[line["varied"].partition(",")[0]], line)
        for varied, axes in panels.items():
            axes.set(xscale="log", yscale="log", xlabel=PANELS[varied], ylabel="seconds")
            axes.grid(alpha=0.3)
            if axes.lines:
                axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1))  # above, off the points
        if panels["devices"].lines:
            counts = panels["devices"].lines[0].get_xdata()
            panels["devices"].set_xticks(counts, [f"{count:g}" for count in counts])
            panels["devices"].minorticks_off()
        figure.savefig(path, metadata={"Date": None})
    return path


def _plot(axes: Any, line: Line) -> None:
    """The points of a line with their fit, over the values that were fitted."""
    colour, marker = LOOKS[line["work"]]
    condition = line["varied"].partition(", ")[2]
    fill = "white" if condition else colour
    label = f"{line['work']}{condition and ', ' + condition}: {exponent(line)}, expected {line['expected']}"
    axes.plot(line["values"], line["medians"], marker, color=colour, markerfacecolor=fill, label=label)
    sizes = np.array(line["fitted"], float)
    seconds = np.array(line["medians"][: len(sizes)])
    centre = np.exp(np.mean(np.log(seconds)) - line["exponent"] * np.mean(np.log(sizes)))
    axes.plot(sizes, centre * sizes ** line["exponent"], color=colour, linestyle="--" if condition else "-")
