"""The tables of benchmarks/README.md about calls and about conjugate gradients, from the last saved lines."""

from collections.abc import Callable

from benchmarks.saved import Line, Saved
from benchmarks.tables import markdown, short

__all__ = ["CALL_TABLES"]


def calls(saved: Saved) -> str:
    """First and second calls of the last line of each model."""
    if not saved.lines("calls"):
        return "Not measured yet: `python benchmarks/calls.py --save`."
    rows = [_call(line, verb) for line in saved.latest("calls", "model") for verb in line["verbs"]]
    heads = ["model", "verb", "first call, s", "of it compiling", "programs", "kB on disk", "the largest"]
    heads += ["second call, s", "programs", "first call with programs on disk, s"]
    return markdown(heads, rows)


def _call(line: Line, verb: str) -> list[str]:
    now = line["verbs"][verb]
    return [
        line["model"],
        verb,
        short(now["first_seconds"]),
        short(now["compile_seconds"]),
        str(now["programs"]),
        short(now["program_bytes"] / 1e3),
        short(now["largest_bytes"] / 1e3),
        short(now["second_seconds"]),
        str(now["second_programs"]),
        short(now["first_seconds_with_programs_on_disk"]),
    ]


def conjugate_gradients(saved: Saved) -> str:
    if not saved.lines("conjugate_gradients"):
        return "Not measured yet: `python benchmarks/conjugate_gradients.py --save`."
    rows = []
    for line in saved.latest("conjugate_gradients", "model", "examples"):
        others = [line["peers"].get(f"torch, dattri {mode}") for mode in ("rev-rev", "rev-fwd")]
        theirs = ["-" if one is None else f"{short(one['median'])} ({one['ratio']:.1f})" for one in others]
        sizes = [f"{line['model']} ({line['parameters']:,})", f"{line['examples']:,}", str(line["products"])]
        rows.append([*sizes, short(line["ours"]["median"]), f"{line['ours']['matmul_fraction']:.2f}", *theirs])
    heads = ["network (parameters)", "examples", "products", "ours, s", "rate of a product of side 2,048"]
    return markdown([*heads, "dattri, rev-rev (times ours)", "dattri, rev-fwd (times ours)"], rows)


CALL_TABLES: dict[str, Callable[[Saved], str]] = {"calls": calls, "conjugate_gradients": conjugate_gradients}
