"""The tables of benchmarks/README.md about calls, conjugate gradients, and the parts of a recursion's time."""

from collections.abc import Callable

from benchmarks.saved import Line, Saved
from benchmarks.tables import markdown, short

__all__ = ["CALL_TABLES"]


def calls(saved: Saved) -> str:
    """First and second calls of the last line of each model."""
    if not saved.lines("calls"):
        return "Not measured yet: `python benchmarks/calls.py --save`."
    lines = {(line["model"], line.get("before", False)): line for line in saved.latest("calls", "model", "before")}
    rows = [
        _call(line, verb, lines.get((model, True)))
        for (model, before), line in lines.items()
        if not before
        for verb in line["verbs"]
    ]
    heads = ["model", "verb", "first call, s", "of it compiling", "programs", "kB on disk", "the largest"]
    heads += ["second call, s", "programs", "first call with programs on disk, s"]
    return markdown([*heads, "before: first, s", "programs", "kB on disk", "second, s", "programs"], rows)


def _call(line: Line, verb: str, older: Line | None) -> list[str]:
    now, then = line["verbs"][verb], (older or {"verbs": {}})["verbs"].get(verb)
    before = ["-"] * 5
    if then:
        before = [short(then["first_seconds"]), str(then["programs"]), short(then["program_bytes"] / 1e3)]
        before += [short(then["second_seconds"]), str(then["second_programs"])]
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
        *before,
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


def breakdown(saved: Saved) -> str:
    if not saved.lines("breakdown"):
        return "Not measured yet: `python benchmarks/breakdown.py --save`."
    rows = []
    for line in saved.latest("breakdown", "work"):
        kinds = line["kinds"]
        busy = sum(kind["seconds"] for kind in kinds.values())
        work, moved = kinds["products"], [kinds[name] for name in ("copies", "gathers", "arithmetic")]
        shares = [f"{100 * kind['seconds'] / busy:.0f}" for kind in kinds.values()]
        traffic = sum(kind["bytes"] for kind in moved) / max(sum(kind["seconds"] for kind in moved), 1e-9)
        rates = [f"{work['flops'] / work['seconds'] / 1e9:.0f}", f"{line['matmul_gflops']:.0f}", f"{traffic / 1e9:.0f}"]
        rows.append([line["work"], short(line["seconds"]), f"{busy / line['traced']:.2f}", *shares, *rates])
    heads = ["work", "s", "busy threads", "products, %", "copies, %", "gathers, %", "arithmetic, %", "control, %"]
    heads += ["GFLOP/s of its products", "of a product of side 2,048", "GB/s of copies, gathers and arithmetic"]
    return markdown(heads, rows)


CALL_TABLES: dict[str, Callable[[Saved], str]] = {
    "breakdown": breakdown,
    "calls": calls,
    "conjugate_gradients": conjugate_gradients,
}
