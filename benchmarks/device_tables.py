"""The tables of benchmarks/README.md about accelerators and growth, from the last saved lines."""

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.saved import Line, Saved
from benchmarks.tables import markdown, short

__all__ = ["DEVICE_TABLES", "exponent"]


def topology(saved: Saved) -> str:
    """What the compiler says of five networks on TPUs that are not here."""
    if not saved.lines("topology"):
        return "Not measured yet: `python benchmarks/topology.py --save`."
    rows = []
    for line in saved.latest("topology", "topology", "model"):
        programs, hbm = line["programs"], line["hbm"]

        def memory(name: str, programs: Any = programs, hbm: int = hbm) -> str:
            size = programs[name]["memory"]
            return f"{size / 2**20:,.0f}" + (" (too large)" if size > hbm else "")

        rows.append(
            [
                f"{line['topology']}, {line['chips']}",
                line["model"],
                f"{line['parameters']:,}",
                memory("training"),
                f"{line['units']:,}",
                memory("rows"),
                f"{line['estimated'] / 2**20:,.0f}",
                f"{line['largest']:,}",
                short(programs["rows"]["flops"] / 1e12 if programs["rows"]["flops"] else None),
                memory("newton"),
                "/".join(short(programs[name]["collectives"]) for name in ("training", "rows", "newton")),
                "/".join(f"{programs[name]['seconds']:.0f}" for name in ("training", "rows", "newton")),
            ]
        )
    heads = [
        "chips",
        "network",
        "parameters",
        "training, MiB",
        "units on a chip",
        "their rows, MiB",
        "as estimated, MiB",
    ]
    heads += ["most units", "TFLOP of the rows", "Newton, MiB", "exchanges", "compiled in, s"]
    return markdown(heads, rows)


def accelerator(saved: Saved) -> str:
    """The stages of the kit on each machine."""
    lines: list[Line] = saved.lines("accelerator")
    if not lines:
        return "Not measured yet: `python -m benchmarks accelerator --save`."
    rows = []
    for line in saved.latest("accelerator", "device_kind", "stage"):
        ours, peers = line.get("ours"), line.get("peers", {})
        times = f"{ours['median']:.3g}" if ours else line.get("failed", line.get("left_out", "-"))[:60]
        rows.append([line["stage"], line["device"]["kind"], times, *_others(line, peers)])
    return markdown(["stage", "device", "seconds", "peers, times ours", "what else"], rows)


def _others(line: Line, peers: Any) -> list[str]:
    ratios = ", ".join(f"{name} {theirs['ratio']:.2g}" for name, theirs in peers.items()) or "-"
    if "first_and_second_call" in line:
        calls = line["first_and_second_call"].items()
        text = ", ".join(
            f"{n} {a['compile_seconds'] + a['seconds']:.1f} and {b['seconds']:.2f} s" for n, (a, b) in calls
        )
        return [ratios, f"first and second call: {text}"]
    gaps = line.get("relative_difference")
    return [ratios, ", ".join(f"{n} {short(gap, 1)}" for n, gap in gaps.items()) if isinstance(gaps, dict) else "-"]


def growth(saved: Saved) -> str:
    """Exponents of the seconds, with the figure that figures.py draws."""
    if not saved.lines("growth"):
        return "Not measured yet: `python benchmarks/growth.py --save`."
    rows = [
        [
            line["method"],
            line["varied"],
            ", ".join(f"{value:,}" for value in line["values"]),
            ", ".join(seconds(runs) for runs in line["seconds"]),
            exponent(line),
            str(line["expected"]),
        ]
        for line in saved.latest("growth", "work", "varied")
    ]
    table = markdown(["work", "varied", "its values", "seconds", "exponent", "expected"], rows)
    return f"{table}\n\n![Seconds against examples, parameters, steps and devices](results/growth.svg)"


def seconds(runs: list[float]) -> str:
    """The median, with the fastest and the slowest run if they differ by more than a quarter."""
    fast, slow = min(runs), max(runs)
    return short(statistics.median(runs)) + (f" ({short(fast)} to {short(slow)})" if slow > 1.25 * fast else "")


def exponent(line: Line) -> str:
    """The exponent with its standard error, and the values of the fit if they are not all."""
    error = "" if line["standard_error"] is None else f" ± {line['standard_error']:.2f}"
    some = "" if line["fitted"] == line["values"] else f" ({line['fitted'][0]} to {line['fitted'][-1]})"
    return f"{line['exponent']:.2f}{error}{some}"


DEVICE_TABLES: dict[str, Callable[[Saved], str]] = {
    "topology": topology,
    "accelerator": accelerator,
    "growth": growth,
}
