"""The figures of a Report as PNG; one that would show nothing is left out."""

import io
import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from certunl.evaluation import Report
from certunl.report._attacked import areas, curves
from certunl.report._findings import attacked
from certunl.report._looks import blank, fits, looks, methods, named
from certunl.report._tables import by_class, number
from certunl.report._tradeoff import tradeoffs

__all__ = ["Picture", "draw", "figures"]

_SPLITS = {"forget": ("#D55E00", "v"), "retain": ("#56B4E9", "s"), "test": ("#0072B2", "o")}


class Picture(NamedTuple):
    """`name`, a file's; `said`, what it shows, in words; `png`, its content."""

    name: str
    said: str
    png: bytes


def draw(report: Report, prefix: str = "") -> list[Picture]:
    """Every figure that `report` has something for; file names begin with `prefix`."""
    pictures = []
    for place, (name, said, figure) in enumerate(figures(report), 1):
        safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:60]
        pictures.append(Picture(f"{prefix}{place:02d}-{safe}.png", said, _png(figure)))
    return pictures


def figures(report: Report) -> Iterator[tuple[str, str, Figure]]:
    """(name, what it shows, figure)."""
    others = [name for name in report.rows if name != "retrain"]
    if column := next((c for c in ("relative_distance", "distance") if _some(report, c, others)), ""):
        yield "distance", "Distance to retraining, by method, on a logarithmic axis", _distances(report, column, others)
    splits = [split for split in _SPLITS if _any(report, f"{split}_accuracy")]
    if splits:
        said = f"Accuracy on the {', '.join(splits)} examples, by method; lines: the retrained model's"
        yield "accuracy", said, _accuracies(report, splits)
    forgot = [n for n in report.rows if n != "original" and n.removesuffix(" + noise") not in set(report.rows) - {n}]
    if _some(report, "seconds", forgot):
        yield "time", "Seconds to forget, by method, on a logarithmic axis", _times(report, forgot)
    if any(sigma > 0 for curve in report.tradeoffs.values() for sigma in curve):
        said = "Test accuracy against the noise added, by method; stars: the certified noise of each"
        yield "tradeoff", said, tradeoffs(report)
    for split, labels in by_class(report).items():
        yield (
            f"classes-{split}",
            f"Accuracy on the {split} examples of each class, by method",
            _classes(report, split, labels),
        )
    for attack in dict.fromkeys(attack for found in report.attacks.values() for attack in found):
        held = {name: found[attack] for name, found in attacked(report).items() if attack in found}
        said = "true against false positive rate, by method, both axes logarithmic; dashes: chance"
        yield f"roc-{attack}", f"ROC of {_words(attack)}: {said}", curves(report, held)
        said = "area under the ROC curve and its 95% interval, by method; band: the retrained model's"
        yield f"auc-{attack}", f"AUC of {_words(attack)}: {said}", areas(report, attack, held)


def _words(attack: str) -> str:
    return attack.replace("_", " ")


def _some(report: Report, column: str, names: list[str]) -> bool:
    return any(fits(report.rows[name].get(column, np.nan)) for name in names)


def _any(report: Report, column: str) -> bool:
    return any(np.isfinite(row.get(column, np.nan)) for row in report.rows.values())


def _dots(report: Report, column: str, names: list[str], label: str) -> tuple[Figure, Any]:
    """A dot and its number for each of `names`, on a logarithmic axis; what that cannot show, in words at its left."""
    seen = looks(report, names)
    figure, axes = blank(0.2 * len(names) + 0.9)
    axes.set(xscale="log", xlabel=label)
    values = [report.rows[name].get(column, np.nan) for name in names]
    held = [value for value in values if fits(value)]
    axes.set_xlim(min(held) / 1.6, max(held) * (max(held) / min(held)) ** 0.22 * 1.6)
    white = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        x = value if fits(value) else min(held) / 1.6
        if fits(value):
            axes.plot(x, place, "o", color=seen[name].colour, markersize=5.5)
        axes.annotate(
            number(value, 3),
            (x, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            bbox=white,
        )
    methods(axes, names, seen)
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
        axes.axvline(report.rows.get("retrain", {}).get(f"{split}_accuracy", np.nan), color=colour, linewidth=0.9)
    methods(axes, names, looks(report, names))
    axes.set_xlabel("accuracy")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _classes(report: Report, split: str, labels: list[str]) -> Figure:
    names = list(report.rows)
    columns = [f"class_{label}_{split}_accuracy" for label in labels]
    grid = np.array([[row.get(column, np.nan) for column in columns] for row in report.rows.values()])
    figure, axes = blank(0.2 * len(names) + 1.1)
    shown = axes.imshow(grid, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    methods(axes, names, looks(report, names))
    axes.grid(False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    every = -(-len(labels) // 25)
    turned = 90 if max(map(len, labels)) * len(labels) > 40 else 0
    axes.set_xticks(range(0, len(labels), every), [named(label, 14) for label in labels[::every]], rotation=turned)
    axes.set_xlabel("class")
    if len(labels) <= 12:
        for (i, j), value in np.ndenumerate(grid):
            text = "-" if np.isnan(value) else f"{value:.2f}".removeprefix("0")
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if value < 0.5 else "black")
    bar = figure.colorbar(shown, ax=axes, ticks=[0, 0.5, 1], fraction=0.04, pad=0.02)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("accuracy", size=8.5)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # shown as a box; the tables have the name
        figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
