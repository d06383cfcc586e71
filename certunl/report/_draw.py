"""The figures of a Report as PNG. A figure that would show nothing is left out."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from certunl.evaluation import Report
from certunl.evaluation.findings import attacked
from certunl.evaluation.tables import by_class, number
from certunl.report._attacked import areas, curves
from certunl.report._looks import blank, decades, fits, looks, methods, named
from certunl.report._tradeoff import tradeoffs

__all__ = ["Picture", "draw", "figures"]

_SPLITS = {"forget": ("#D55E00", "v"), "retain": ("#56B4E9", "s"), "test": ("#0072B2", "o")}


class Picture(NamedTuple):
    """A figure of the report.

    Args:
        name: the name of its file.
        said: the caption, also used as alternative text.
        png: the content of the file.
        more: {"pdf": the content, "svg": the content}, for the formats besides PNG.
    """

    name: str
    said: str
    png: bytes
    more: Mapping[str, bytes] = MappingProxyType({})


def draw(report: Report, prefix: str = "", formats: Sequence[str] = ()) -> list[Picture]:
    """The figures of `report`; file names begin with `prefix`. `formats` are "pdf" and "svg", besides PNG."""
    pictures = []
    for place, (name, caption, figure) in enumerate(figures(report), 1):
        safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:60]  # names of attacks are the user's
        more = {form: _saved(figure, form) for form in formats}
        pictures.append(Picture(f"{prefix}{place:02d}-{safe}.png", caption, _saved(figure, "png"), more))
    return pictures


def figures(report: Report) -> Iterator[tuple[str, str, Figure]]:
    """Yields (name, caption, matplotlib figure) for each figure whose values are all in `report`."""
    others = [name for name in report.rows if name != "retrain"]
    bars = f"; bars are the standard deviation over {report.seeds} seeds" if report.seeds > 1 else ""
    if column := next((c for c in ("relative_distance", "distance") if _some(report, c, others)), ""):
        caption = f"Distance to retraining, by method, on a logarithmic axis{bars}"
        yield "distance", caption, _distances(report, column, others)
    splits = [split for split in _SPLITS if _any(report, f"{split}_accuracy")]
    if splits:
        caption = f"Accuracy on the {', '.join(splits)} examples, by method; the lines show the retrained model{bars}"
        yield "accuracy", caption, _accuracies(report, splits)
    # a release with noise took as long as its un-noised row, so one of the two is enough
    timed = [n for n in report.rows if n != "original" and n.removesuffix(" + noise") not in set(report.rows) - {n}]
    if _some(report, "seconds", timed):
        yield "time", f"Seconds to forget, by method, on a logarithmic axis{bars}", _times(report, timed)
    if any(sigma > 0 for curve in report.tradeoffs.values() for sigma in curve):
        caption = "Test accuracy at each noise level, by method; a star marks the certified noise of a method"
        yield "tradeoff", caption, tradeoffs(report)
    for split, labels in by_class(report).items() if "retrain" in report.rows else ():
        caption = f"Accuracy on the {split} examples of each class, by method; colours are differences to retraining"
        yield f"classes-{split}", caption, _classes(report, split, labels)
    for attack in dict.fromkeys(attack for by_attack in report.attacks.values() for attack in by_attack):
        results = {name: by_attack[attack] for name, by_attack in attacked(report).items() if attack in by_attack}
        caption = f"ROC curves of {_words(attack)}, by method, on logarithmic axes; the dashed line is chance"
        yield f"roc-{attack}", caption, curves(report, results)
        caption = f"AUC of {_words(attack)} with its 95% interval, by method; the band is that of the retrained model"
        yield f"auc-{attack}", caption, areas(report, attack, results)


def _words(attack: str) -> str:
    return attack.replace("_", " ")


def _some(report: Report, column: str, names: list[str]) -> bool:
    return any(fits(report.rows[name].get(column, np.nan)) for name in names)


def _any(report: Report, column: str) -> bool:
    return any(np.isfinite(row.get(column, np.nan)) for row in report.rows.values())


def _dots(report: Report, column: str, names: list[str], label: str) -> tuple[Figure, Any]:
    """A dot and its number for each of `names`, on a logarithmic axis. A value without a place there (0, infinity, NaN)
    has only its number, at the left end."""
    styles = looks(report, names)
    figure, axes = blank(0.2 * len(names) + 0.9)
    axes.set(xscale="log", xlabel=label)
    values = [report.rows[name].get(column, np.nan) for name in names]
    places = [value for value in values if fits(value)]
    low, high = min(places), max(places)
    left, right = low / 1.6, high * (high / low) ** 0.22 * 1.6  # room at the right for the number of the last dot
    axes.set_xlim(left, right)
    axes.minorticks_off()
    ticks = decades(left, right)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    white = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        x = value if fits(value) else low / 1.6
        if fits(value):
            axes.plot(x, place, "o", color=styles[name].colour, markersize=5.5)
            spread = report.deviations.get(name, {}).get(column, np.nan)
            axes.plot([max(value - spread, left), value + spread], [place, place], color=styles[name].colour)
        axes.annotate(
            number(value, 3),
            (x, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            bbox=white,
        )
    methods(axes, names, styles)
    return figure, axes


def _distances(report: Report, column: str, names: list[str]) -> Figure:
    label = "distance to retraining" + (" / distance of doing nothing" if column == "relative_distance" else "")
    figure, axes = _dots(report, column, names, label)
    if column == "relative_distance":
        axes.axvline(1, color="#D55E00", linewidth=1, linestyle="--", zorder=1)
    return figure


def _times(report: Report, names: list[str]) -> Figure:
    figure, axes = _dots(report, "seconds", names, "seconds")
    if "retrain" in names and _some(report, "seconds", ["retrain"]):
        axes.axvline(report.rows["retrain"]["seconds"], color="#000000", linewidth=1, linestyle="--", zorder=1)
    return figure


def _accuracies(report: Report, splits: list[str]) -> Figure:
    names = list(report.rows)
    figure, axes = blank(0.2 * len(names) + 1.2)
    for split in splits:
        colour, marker = _SPLITS[split]
        values = [row.get(f"{split}_accuracy", np.nan) for row in report.rows.values()]
        axes.plot(values, range(len(names)), marker, color=colour, markersize=5, linestyle="none", label=split)
        spreads = [report.deviations.get(name, {}).get(f"{split}_accuracy", np.nan) for name in names]
        axes.errorbar(values, range(len(names)), xerr=spreads, fmt="none", ecolor=colour, elinewidth=1)
        axes.axvline(report.rows.get("retrain", {}).get(f"{split}_accuracy", np.nan), color=colour, linewidth=0.9)
    methods(axes, names, looks(report, names))
    axes.set_xlabel("accuracy")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _classes(report: Report, split: str, labels: list[str]) -> Figure:
    names = list(report.rows)
    columns = [f"class_{label}_{split}_accuracy" for label in labels]
    grid = np.array([[row.get(column, np.nan) for column in columns] for row in report.rows.values()])
    apart = grid - grid[names.index("retrain")]
    most = max(0.05, float(np.nanmax(np.abs(apart), initial=0)))
    figure, axes = blank(0.2 * len(names) + 1.1)
    shown = axes.imshow(apart, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto")
    methods(axes, names, looks(report, names))
    axes.grid(False)
    axes.set_ylim(len(names) - 0.5, -0.5)  # the first model at the top, no margin around the image
    every = -(-len(labels) // 25)  # more than 25 labels would cover one another
    turned = 90 if max(map(len, labels)) * len(labels) > 40 else 0
    axes.set_xticks(range(0, len(labels), every), [named(label, 14) for label in labels[::every]], rotation=turned)
    axes.set_xlabel("class")
    if len(labels) <= 12:
        for (i, j), value in np.ndenumerate(grid):
            text = "-" if np.isnan(value) else f"{value:.2f}".removeprefix("0")
            dark = abs(apart[i, j]) > 0.65 * most
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    bar = figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.02)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("difference to retraining", size=8.5)
    return figure


_DATED = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""No date, so that the same figure is the same file."""


def _saved(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    # fonts as TrueType, which publishers ask for
    with warnings.catch_warnings(), rc_context({"pdf.fonttype": 42, "svg.hashsalt": "certunl"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box is drawn for it; the tables show the name
        figure.savefig(buffer, format=form, dpi=150, metadata=_DATED[form])
    return buffer.getvalue()
