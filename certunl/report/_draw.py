"""The figures of a Report as PNG; one that would show nothing is left out."""

import io
import re
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from certunl.evaluation import Report
from certunl.report._attacked import areas, curves
from certunl.report._looks import blank, legend, looks, methods, named
from certunl.report._tables import attacked, by_class, number

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
        yield "tradeoff", said, _tradeoffs(report)
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


def _fits(value: float) -> bool:
    """Whether a logarithmic axis can show it."""
    return bool(np.isfinite(value)) and value > 0


def _some(report: Report, column: str, names: list[str]) -> bool:
    return any(_fits(report.rows[name].get(column, np.nan)) for name in names)


def _any(report: Report, column: str) -> bool:
    return any(np.isfinite(row.get(column, np.nan)) for row in report.rows.values())


def _dots(report: Report, column: str, names: list[str], label: str) -> tuple[Figure, Any]:
    """A dot and its number for each of `names`, on a logarithmic axis; what that cannot show, in words at its left."""
    seen = looks(report, names)
    figure, axes = blank(0.2 * len(names) + 0.9)
    axes.set(xscale="log", xlabel=label)
    values = [report.rows[name].get(column, np.nan) for name in names]
    held = [value for value in values if _fits(value)]
    axes.set_xlim(min(held) / 1.6, max(held) * (max(held) / min(held)) ** 0.22 * 1.6)
    white = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        x = value if _fits(value) else min(held) / 1.6
        if _fits(value):
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


def _tradeoffs(report: Report) -> Figure:
    """No noise stands at the left, where a logarithmic axis has no 0."""
    curves = {name: dict(sorted(curve.items())) for name, curve in report.tradeoffs.items() if max(curve, default=0)}
    sigmas = sorted({sigma for curve in curves.values() for sigma in curve if sigma > 0})
    nothing = sigmas[0] / 10 ** max(0.3, 0.14 * np.log10(sigmas[-1] / sigmas[0]))
    seen = looks(report, curves)
    figure, axes = blank(4.6)
    axes.set(xscale="log", xlabel="standard deviation of the noise", ylabel="test accuracy")
    for name, curve in curves.items():
        look, x = seen[name], [sigma or nothing for sigma in curve]
        y = list(curve.values())
        axes.plot(x, y, color=look.colour, linewidth=look.width, linestyle=look.dash, zorder=look.order)
        sigma = report.rows.get(name, {}).get("sigma", np.nan)
        if _fits(sigma):
            at = np.interp(np.log(sigma), np.log(x), y)
            axes.plot(sigma, at, "*", color=look.colour, markersize=11, markeredgecolor="black", zorder=9)
    axes.axhline(report.rows.get("retrain", {}).get("test_accuracy", np.nan), color="black", linestyle=":", linewidth=1)
    axes.minorticks_off()
    low, high = (int(np.floor(np.log10(sigmas[place]))) for place in (0, -1))
    steps = (1,) if high - low > 2 else (1, 3)
    ticks = [s * 10.0**k for k in range(low, high + 2) for s in steps if sigmas[0] * 0.99 <= s * 10.0**k]
    ticks = [tick for tick in ticks if tick <= axes.get_xlim()[1]]
    axes.set_xticks([nothing, *ticks], ["none", *(f"{tick:g}" for tick in ticks)])
    axes.grid(color="#e4e4e4", linewidth=0.8)
    more = {"certified noise": Line2D([], [], marker="*", color="white", markeredgecolor="black", markersize=10)}
    legend(figure, report, seen, more | {"retrained": Line2D([], [], color="black", linestyle=":", linewidth=1)})
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
    figure.colorbar(shown, ax=axes, label="accuracy", fraction=0.04, pad=0.02)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # shown as a box; the tables have the name
        figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
