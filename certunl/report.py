"""One self-contained page per run folder: settings, tables, certificates, and two figures per request."""

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from certunl.evaluation import Report

__all__ = ["page"]

_COLOURS = {"forget": "#b2182b", "retain": "#4393c3", "test": "#2166ac"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child, td:nth-child(2):last-child { text-align: left } div.wide { overflow-x: auto }
pre { background: #f6f6f6; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px }
img { max-width: 100% } .warning { border-left: .4rem solid #b2182b; background: #fdf0f0; padding: .6rem 1rem }
 h2 { margin-top: 2.5rem }
"""


def page(
    title: str, facts: dict[str, Any], reports: list[tuple[Report, list[str]]], warnings: Sequence[str] = ()
) -> str:
    """The HTML of a report: `facts` by name (nested ones flattened), then each Report with its printed certificates.
    `warnings` stand at the top."""
    body = [f"<h1>{html.escape(title)}</h1>", "<p>For the owner: this page speaks of un-noised models.</p>"]
    body += [f"<p class=warning>{html.escape(sentence)}</p>" for sentence in warnings]
    body.append(_table([["", ""], *_flat(facts)]))
    for report, certificates in reports:
        body.append(f"<h2>{report.forgotten} examples forgotten</h2>")
        body.append(_table([list(row) for row in zip(*report.cells(), strict=True)]))
        body.append(_image(_distances(report), "distance to retraining, by method"))
        if "forget_accuracy" in report.columns():
            body.append(_image(_accuracies(report), "accuracy on forgotten, retained and test examples, by method"))
        body += [f"<pre>{html.escape(text)}</pre>" for text in certificates]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style><body>{''.join(body)}</body></html>"
    )


def _flat(facts: dict[str, Any]) -> list[list[str]]:
    rows: list[list[str]] = []
    for name, value in facts.items():
        rows += _flat(value) if isinstance(value, dict) else [[name.replace("_", " "), str(value)]]
    return rows


def _table(rows: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<div class=wide><table>{line(rows[0], 'th')}{''.join(line(row, 'td') for row in rows[1:])}</table></div>"


def _distances(report: Report) -> Figure:
    """Distance to retraining as a fraction of doing nothing, on a logarithmic axis; retraining itself is 0."""
    rows = {name: row["relative_distance"] for name, row in report.rows.items() if name != "retrain"}
    rows = {name: value for name, value in rows.items() if value > 0}
    figure = Figure(figsize=(8, 0.45 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    for place, (name, value) in enumerate(rows.items()):
        axes.plot(value, place, "o", color="#999999" if name == "original" else "#2166ac")
        axes.annotate(f"{value:.3g}", (value, place), xytext=(8, -4), textcoords="offset points")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(axis="x", color="#e5e5e5")
    axes.axvline(1, color="#b2182b", linewidth=1, linestyle="--")
    axes.set(xscale="log", xlabel="distance to retraining / distance of doing nothing (left of the line is better)")
    axes.margins(x=0.15, y=0.2)
    axes.invert_yaxis()
    return figure


def _accuracies(report: Report) -> Figure:
    names = list(report.rows)
    figure = Figure(figsize=(8, 0.6 * len(names) + 1.4), layout="constrained")
    axes = figure.subplots()
    for offset, (split, colour) in enumerate(_COLOURS.items()):
        values = [row.get(f"{split}_accuracy", np.nan) for row in report.rows.values()]
        axes.barh(np.arange(len(names)) + (offset - 1) * 0.26, values, 0.24, color=colour, label=split)
    shown = [v for row in report.rows.values() for k, v in row.items() if k.endswith("_accuracy")]
    axes.set_xlim(max(0.0, min(shown) - 0.1), 1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=3, frameon=False)
    return figure


def _image(figure: Figure, description: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<p><img alt="{html.escape(description)}" src="data:image/png;base64,{data}"></p>'
