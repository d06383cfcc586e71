"""The style of a model, the same in every figure.

Retraining is black and the original model vermilion. A model with a guarantee has a colour, the others are grey. The
colours are those of Okabe and Ito 2008, which colour-blind readers can distinguish. If there are more models than
colours, further lines are dashed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from certunl.evaluation import Report

__all__ = ["GRID", "WIDTH", "Look", "blank", "decades", "fits", "legend", "looks", "methods", "named"]

WIDTH = 5.6
"""The width of every figure in inches; its text stays legible on a phone."""

GRID = "#e4e4e4"
_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
_GUARANTEED = ("PROVED", "CONDITIONAL")
_NOISE = " + noise"


@dataclass(frozen=True)
class Look:
    """The style of one model; `in_legend` if the legend names it."""

    colour: str
    width: float
    dash: Any
    in_legend: bool

    @property
    def order(self) -> float:
        """matplotlib's zorder: a thicker line is drawn over a thinner one."""
        return 2 + self.width


def looks(report: Report, names: Iterable[str]) -> dict[str, Look]:
    """The style of each of `names`. A method has one colour in all figures; its un-noised model is grey if the noised
    one is in `names` too."""
    names = list(names)
    guaranteed = [name.removesuffix(_NOISE) for name, verdict in report.verdicts.items() if verdict in _GUARANTEED]
    places = {family: place for place, family in enumerate(dict.fromkeys(guaranteed)) if family != "retrain"}
    result = {}
    for name in names:
        place = places.get(name.removesuffix(_NOISE))
        if name == "retrain":
            result[name] = Look("#000000", 2.4, "-", True)
        elif name == "original":
            result[name] = Look("#D55E00", 2.0, "-", True)
        elif place is None or name + _NOISE in names:
            result[name] = Look("#a8a8a8", 0.8, "-", False)
        else:
            dash = _DASHES[place // len(_COLOURS) % len(_DASHES)]
            result[name] = Look(_COLOURS[place % len(_COLOURS)], 1.5, dash, True)
    return result


def named(name: str, most: int = 26) -> str:
    """`name` for a figure, shortened to `most` characters and safe from matplotlib's formulas."""
    short = name if len(name) <= most else f"{name[: most - 12]}…{name[-11:]}"
    # matplotlib leaves labels that begin with "_" out of a legend
    return short.replace("$", r"\$") if not short.startswith("_") else " " + short.replace("$", r"\$")


def fits(value: float) -> bool:
    """Whether a logarithmic axis can show `value`."""
    return bool(np.isfinite(value)) and value > 0


def decades(low: float, high: float) -> list[float]:
    """Ticks for a logarithmic axis from `low` to `high`: few enough that their labels do not overlap."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10)), tuple(np.arange(10, 100) / 10)):
        every = [float(f"{step}e{power}") for power in powers for step in steps]
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) > 2:
            break
    apart, few = (np.log(high) - np.log(low)) / 7, []
    for tick in ticks:
        if not few or np.log(tick) - np.log(few[-1]) >= apart:
            few.append(tick)
    return few or [low]


def blank(height: float) -> tuple[Figure, Any]:
    """A figure with one pair of axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)
    for side in (axes.xaxis, axes.yaxis):
        side.label.set_fontsize(9)
    axes.set_axisbelow(True)
    return figure, axes


def methods(axes: Any, names: list[str], styles: dict[str, Look]) -> None:
    """Makes the y axis a list of `names` from the top. A name without a style, such as a control, is in italics."""
    axes.set_yticks(range(len(names)), [named(name) for name in names])
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color("#111111" if name in styles and styles[name].in_legend else "#666666")
        label.set_fontweight("bold" if name in ("original", "retrain") else "normal")
        label.set_fontstyle("normal" if name in styles else "italic")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color=GRID, linewidth=0.8)


def legend(figure: Figure, report: Report, styles: dict[str, Look], more: dict[str, Line2D]) -> None:
    """A legend below the axes: the models with a colour, the number of grey ones, and `more`."""
    refuted = {name for name, audit in report.audits.items() if audit.refuted}
    entries = {
        named(name) + (" (refuted)" if name in refuted else ""): Line2D(
            [], [], color=look.colour, linewidth=look.width, linestyle=look.dash
        )
        for name, look in styles.items()
        if look.in_legend
    }
    if others := sum(not look.in_legend for look in styles.values()):
        entries[f"{others} other{'s' * (others > 1)}"] = Line2D([], [], color="#a8a8a8", linewidth=0.8)
    entries |= more
    columns = 3 if max(map(len, entries)) < 20 else 2
    figure.legend(
        list(entries.values()), list(entries), loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )
