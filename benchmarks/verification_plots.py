"""The tables and plots of the saved lines of `verification.py`.

python benchmarks/verification_plots.py            # tables, their summary, and PNGs beside the lines
"""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

METHODS = ("hessian_free", "newton_step", "jackknife", "newton")
LINE = tuple[str, str, str]
HERE = Path(__file__).resolve().parent / "results"


def groups(lines: Iterable[dict[str, Any]]) -> dict[LINE, list[dict[str, Any]]]:
    """The lines by (problem, training, target)."""
    found: dict[LINE, list[dict[str, Any]]] = {}
    for line in lines:
        found.setdefault(tuple(line["settings"][k] for k in ("problem", "training", "target")), []).append(line)
    return found


def values(lines: list[dict[str, Any]], rate: float, method: str, column: str) -> list[float]:
    """One value per seed, without the seeds that have none."""
    rows = [r["rows"].get(method, {}) for line in lines for r in line["requests"] if r["rate"] == rate]
    return [row[column] for row in rows if row.get(column) is not None]


def cell(found: list[float]) -> str:
    if not found:
        return "-"
    mean = statistics.mean(found)
    spread = f" ± {statistics.stdev(found):.2g}" if len(found) > 1 else ""
    return f"{mean:.3g}{spread}"


def tables(lines: list[dict[str, Any]]) -> str:
    """The distances of each group as fractions of doing nothing, and its other results at 10%."""
    rates = sorted({rate for line in lines for rate in line["settings"]["rates"]})
    middle = rates[len(rates) // 2] if rates else 0.0
    head = ["problem", "training", "target", "method", "seeds", *(f"{rate:.0%}" for rate in rates)]
    head += [f"{what} ({middle:.0%})" for what in ("distance", "Pearson", "Spearman", "test accuracy", "damping")]
    body = []
    for names, group in groups(lines).items():
        for method in ("original", *METHODS):
            if not any(values(group, rate, method, "distance") for rate in rates):
                continue
            relative = [cell(values(group, rate, method, "relative_distance")) for rate in rates]
            columns = ("distance", "loss_change_correlation", "loss_change_rank_correlation", "test_accuracy")
            more = [cell(values(group, middle, method, column)) for column in (*columns, "damping")]
            seeds = max(len(values(group, rate, method, "distance")) for rate in rates)
            body.append([*names, method, str(seeds), *relative, *more])
    return markdown([head, *body])


def summary(lines: list[dict[str, Any]]) -> str:
    """One row per group, with means over its seeds. It has relative distances at the smallest, the middle and the
    largest rate. At the middle rate it has the correlations of loss changes (Pearson / Spearman) and the accuracy on
    held-out data. Seeds on which every method ran have a row of their own. A method is only in rows in which it ran on
    all seeds."""
    first = ["problem", "training", "target", "seeds"]
    distances = [[*first, "doing nothing", *METHODS]]
    others = [[*first, "accuracy: retrained", "doing nothing", *(f"{m}: r, rho, accuracy" for m in METHODS)]]
    for names, whole in groups(lines).items():
        asked = [line for line in whole if line["settings"]["solver"]]
        for group in (whole, asked) if 0 < len(asked) < len(whole) else (whole,):
            rates = sorted(set.intersection(*(set(line["settings"]["rates"]) for line in group)))
            chosen = (rates[0], rates[len(rates) // 2], rates[-1])

            def means(method: str, *columns: str, at: tuple[float, ...], group: Any = group) -> str:
                found = [values(group, rate, method, column) for rate in at for column in columns]
                known = all(len(many) == len(group) for many in found)
                return " / ".join(f"{statistics.mean(many):.3g}" for many in found) if known else "-"

            labels = [*names, str(len(group))]
            row = [means(method, "relative_distance", at=chosen) for method in METHODS]
            distances.append([*labels, means("original", "distance", at=chosen), *row])
            columns = ("loss_change_correlation", "loss_change_rank_correlation", "test_accuracy")
            row = [means(method, *columns, at=chosen[1:2]) for method in METHODS]
            accuracies = [means(name, "test_accuracy", at=chosen[1:2]) for name in ("retrain", "original")]
            others.append([*labels, *accuracies, *row])
    return "\n\n".join(markdown(rows) for rows in (distances, others))


def markdown(rows: list[list[str]]) -> str:
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body])


def plot(lines: list[dict[str, Any]], folder: Path) -> list[Path]:
    """One PNG per problem, with the relative distance (mean and range over seeds) over the deletion rate."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    written = []
    for problem in dict.fromkeys(line["settings"]["problem"] for line in lines):
        here = {names: group for names, group in groups(lines).items() if names[0] == problem}
        columns = 4 if len(here) > 6 else 2
        rows = -(-len(here) // columns)
        shape = {"figsize": (3 * columns, 2.7 * rows), "sharex": True, "sharey": True}
        figure, axes = plt.subplots(rows, columns, squeeze=False, layout="constrained", **shape)
        for axis, ((_, training, target), group) in zip(axes.flat, here.items(), strict=False):
            axis.axhline(1, color="grey", linestyle=":", label="doing nothing")
            for number, method in enumerate(METHODS):
                found = {r: values(group, r, method, "relative_distance") for r in group[0]["settings"]["rates"]}
                found = {rate: many for rate, many in found.items() if many}
                if found:
                    means = [statistics.mean(many) for many in found.values()]
                    low, high = ([f(many) for many in found.values()] for f in (min, max))
                    axis.plot([100 * r for r in found], means, "o-", color=f"C{number}", markersize=3, label=method)
                    axis.fill_between([100 * r for r in found], low, high, color=f"C{number}", alpha=0.15)
            axis.set(title=f"{training}\n{target}", yscale="log")
            axis.title.set_fontsize(8)
        for axis in axes.flat:
            axis.set_visible(axis.has_data())
        axes[0][0].legend(fontsize=7)
        figure.supxlabel("forgotten, % of the training examples")
        figure.supylabel("distance to retraining / that of doing nothing")
        written.append(folder / f"verification_{problem.replace(', ', '_').replace(' ', '_').lower()}.png")
        figure.savefig(written[-1], dpi=80)
        plt.close(figure)
    return written


def main() -> None:
    lines = [json.loads(text) for text in (HERE / "verification.jsonl").read_text().splitlines()]
    print(tables(lines), summary(lines), sep="\n\n")
    for path in plot(lines, HERE):
        print(path.name)


if __name__ == "__main__":
    main()
