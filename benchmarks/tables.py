"""The tables of benchmarks/README.md, each from the last saved lines of its question."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.saved import Line, Saved

__all__ = ["TABLES", "markdown", "short"]

LEAN, MAPPED = "torch double backward", "torch.func vmap(jvp(grad))"


def short(value: float | None, digits: int = 2) -> str:
    """`value` with so many digits, whole from 100 on. None is a dash."""
    if value is None:
        return "-"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"
    return re.sub(r"e([-+])0", r"e\1", text)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def products(saved: Saved) -> str:
    if not saved.lines("products"):
        return "Not measured yet: `python benchmarks/products.py --save`."
    rows, text = [], ""
    for line in saved.latest("products", "asked", "model"):
        name, peers = line["model"], line["peers"]
        if "gradients" in peers:
            cost = 1 / peers["gradients"]["ratio"]
            rows.append([name, f"{line['parameters']:,}", str(line["batch_size"]), f"{cost:.2f}"])
        elif "chain_bytes" in line:
            sizes = [line[part] / 2**20 for part in ("product_bytes", "chain_bytes", "ten_chains_bytes")]
            text += f"\n\nFor {name} XLA sets aside {sizes[0]:,.0f} MiB for products on one fixed batch, "
            text += f"{sizes[1]:,.0f} for one chain of a recursion, and {sizes[2]:,.0f} for ten chains."
        else:
            theirs = peers.get(LEAN)
            text += f"\n\nLiSSA on {name} (ten chains of {line['depth']} steps) takes {line['ours']['median']:.2f} s"
            text += f", and torch's double backward {theirs['median']:.2f} s." if theirs else "."
    return markdown(["model", "parameters", "batch", "a Hessian product costs, in gradients"], rows) + text


def lissa(saved: Saved) -> str:
    lines = saved.latest("lissa", "model")
    rows = [
        [
            f"{line['model']} ({line['parameters']:,})",
            f"{line['repeats']} x {line['depth']:,}",
            f"{line['residual']:.2f}",
            f"{line['ours']['median']:.2f}",
            *(peer(line, name) for name in ("one device", LEAN, MAPPED)),
        ]
        for line in lines
    ]
    heads = ["residual", f"ours, on {lines[0]['devices']} devices", "on one", LEAN, MAPPED]
    return markdown(["network (parameters)", "chains x depth", *heads], rows)


def peer(line: Line, name: str) -> str:
    theirs = line["peers"].get(name)
    return f"{theirs['median']:.2f} ({theirs['ratio']:.1f})" if theirs else "-"


def hessian_free(saved: Saved) -> str:
    rows = [
        [
            line["model"],
            f"{line['parameters']:,}",
            f"{line['units']:,} x {line['steps']}, {line['batch_size']}",
            f"{line['ours']['median']:.2f}",
            *(peer(line, name) for name in (LEAN, MAPPED)),
            short(line["relative_difference"], 1),
        ]
        for line in saved.latest("hessian_free", "model")
    ]
    heads = ["ours", "torch, lean loop (times ours)", "torch.func, vmap of jvp (times ours)", "largest difference"]
    return markdown(["model", "parameters", "units x steps, batch", *heads], rows)


def recursive_bound(saved: Saved) -> str:
    names = ("weight_decay", "learning_rate", "decay", "batch_size")
    rows = []
    for line in saved.latest("recursive_bound", *names, "forgotten"):
        means = {name: row["mean"] for name, row in line["rows"].items()}
        cells = [f"{line['weight_decay']}, {line['learning_rate']}, {line['batch_size']}", str(line["forgotten"])]
        for method in ("doing nothing", "first_order", "retained"):
            bound = short(means[f"{method}, bound"])
            useless = method != "doing nothing" and means[f"{method}, bound"] >= means["doing nothing, bound"]
            cells += [short(means[method]), f"**{bound}**" if useless else bound]
        rows.append(cells)
    heads = [cell for method in ("doing nothing", "hessian_free", "retained form") for cell in (method, "proved")]
    return markdown(["weight decay, rate, batch", "forgotten", *heads], rows)


def certified(saved: Saved) -> str:
    line = saved.last("certified", forgotten=600)
    rows = [
        [
            name,
            line["verdicts"][name],
            short(row["epsilon"]),
            f"{row['accuracy']:.3f}",
            "-" if row["accuracy_without_noise"] is None else f"{row['accuracy_without_noise']:.3f}",
            short(row["bound"]),
            short(row["sigma"], 3),
            f"{row['seconds']:.1f}",
        ]
        for name, row in line["rows"].items()
    ]
    heads = ["verdict", "epsilon", "accuracy", "without noise", "proved distance", "sigma", "seconds"]
    return markdown(["method", *heads], rows)


def frozen_features(saved: Saved) -> str:
    rows = []
    for line in saved.latest("frozen_features", "stage"):
        method = next(name for name in line["rows"] if name not in ("original", "retrain"))
        facts, seconds = line["certificate"], {n: row.get("seconds") for n, row in line["rows"].items()}
        network = line["network_test_accuracy"]
        rows.append(
            [
                f"{line['features']}, {line['stage']}",
                "-" if network is None else f"{network:.4f}",
                *(spread(line["rows"][name]["test_accuracy"]) for name in ("original", "retrain")),
                f"{method}: {spread(line['rows'][f'{method} + noise']['test_accuracy'])}",
                f"{facts['noise_norm']:.2f}, {facts['parameter_norm']:.0f}",
                facts["verdict"],
                f"{seconds[method]['mean']:.1f}, {seconds['retrain']['mean']:.1f}",
            ]
        )
    heads = ["head", "retrained", "released, with noise", "norm of the noise, of the head", "verdict"]
    return markdown(["features", "network", *heads, "seconds: forgetting, retraining"], rows)


def spread(value: Any) -> str:
    return f"{value['mean']:.4f} ± {value['deviation']:.4f}"


def release_noise(saved: Saved) -> str:
    names = ("jax.random.normal", "numpy, float64 normals")
    rows = [
        [
            line["model"],
            f"{line['parameters']:,}",
            *(short(one["median"]) for one in (line["ours"], *(line["peers"][n] for n in names))),
        ]
        for line in saved.latest("release_noise", "model")
    ]
    return markdown(["model", "parameters", "exact", *names], rows)


def on_host(saved: Saved) -> str:
    rows = []
    for line in saved.latest("on_host", "work"):
        if "peers" in line:
            far, near = line["ours"]["median"], line["peers"]["inputs on the device"]["median"]
            gap = short(line["largest_difference"])
            rows.append([line["work"], f"{far:.3f}", f"{near:.3f}", f"{far / near:.2f}", gap])
    return markdown(["work", "inputs on the host", "on the device", "ratio", "largest difference of numbers"], rows)


def narrow_products(saved: Saved) -> str:
    rows = [
        [
            f"{line['model']} ({line['parameters']:,})",
            kind,
            *(short(row[name]) for name in ("median", "largest", "sum")),
            short(row["share"], 4),
        ]
        for line in saved.latest("narrow_products", "model")
        for kind, row in line["kinds"].items()
        if kind != "float64"
    ]
    heads = ["median error of a row", "largest", "error of their sum", "distance to retraining, of doing nothing"]
    return markdown(["model (parameters)", "products", *heads], rows)


def serve(saved: Saved) -> str:
    rows = [
        [
            line["data"],
            f"{line['requests']:,}",
            f"{line['requests_per_second']:.1f}",
            f"{line['milliseconds']['median']:.0f} ms",
            f"{line['milliseconds']['p99']:.0f} ms",
            f"{line['last_to_first']:.2f} (of {line['part']:,})",
            f"{next(iter(line['peers'].values()))['milliseconds']:.2f} ms",
            ", ".join(f"{line['memory_bytes'][at] / 1e6:.0f}" for at in ("first_tenth", "end")) + " MB",
            ", ".join(short(line["folder_bytes"][at] / 1e6) for at in ("before", "after")) + " MB",
        ]
        for line in saved.latest("serve", "data")
    ]
    heads = ["a second", "median", "99th percentile", "last to first part", "peer", "memory after a tenth, at the end"]
    return markdown(["data", "requests", *heads, "folder before, after"], rows)


TABLES: dict[str, Callable[[Saved], str]] = {
    one.__name__: one
    for one in (
        *(products, lissa, hessian_free, recursive_bound, certified, frozen_features, release_noise, on_host),
        *(narrow_products, serve),
    )
}
