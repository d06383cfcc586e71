"""Every method on every kind of request, judged by attacks, behaviour, distance and proof: what no paper shows."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import numpy as np

import certunl as cu
from benchmarks.papers.grounds import initialised, load, shrunk, subset
from benchmarks.papers.table import Column, Job, Row, Table, select

__all__ = ["ALL"]

BUDGET = cu.Budget(epsilon=1.0, delta=1e-5)
MISLABELLED = 0.1
GROUNDS: dict[str, dict[str, dict[str, Any]]] = {
    "small": {
        "MNIST, MLP": {
            "data": "mnist",
            "model": cu.models.MLP(hidden=(32,), classes=10),
            "examples": 1000,
            "shrink": 2,
            "epochs": 20,
            "shadows": 32,
            "models": 20,
            "patience": 30.0,
        },
        "CIFAR-10, CNN": {
            "data": "cifar10",
            "model": cu.models.CNN(),
            "examples": 500,
            "shrink": 2,
            "epochs": 20,
            "shadows": 16,
            "models": 10,
            "patience": 10.0,
        },
    },
    "paper": {
        "MNIST, MLP": {
            "data": "mnist",
            "model": cu.models.MLP(hidden=(32, 32), classes=10),
            "examples": 10_000,
            "shrink": 1,
            "epochs": 20,
            "shadows": 256,
            "models": 100,
            "patience": 600.0,
        },
        "CIFAR-10, CNN": {
            "data": "cifar10",
            "model": cu.models.CNN(),
            "examples": 10_000,
            "shrink": 1,
            "epochs": 40,
            "shadows": 256,
            "models": 100,
            "patience": 600.0,
        },
    },
}
KINDS = ("random", "class", "owner", "influential", "near_duplicates", "mislabelled")
SHARE = 0.05
COLUMNS = (
    "relative_distance",
    "tug_of_war",
    "forget_accuracy",
    "test_accuracy",
    "relearn_epochs",
    "klom_forget",
    "seconds",
    "tuning_seconds",
)


def jobs(scale: str) -> list[Job]:
    return [
        Job(
            f"{name}, {kind}",
            {k: " ".join(repr(v).split()) if k == "model" else v for k, v in ground.items()}
            | {"request": kind, "share": SHARE, "mislabelled": MISLABELLED, "budget": repr(BUDGET), "seed": 0},
            lambda name=name, kind=kind: _rows(scale, name, kind),
        )
        for name, ground in GROUNDS[scale].items()
        for kind in KINDS
    ]


@cache
def _trained(scale: str, name: str) -> tuple[cu.Run, cu.Dataset, np.ndarray]:
    """The run, unseen examples, and the examples with replaced labels. Owners hold twenty examples of few classes."""
    ground = GROUNDS[scale][name]
    parts = load(ground["data"])
    sizes = (ground["examples"], min(2 * ground["examples"], len(parts[1])))
    train, test = (shrunk(subset(p, n, 0), ground["shrink"]) for p, n in zip(parts, sizes, strict=True))
    keys = jax.random.split(jax.random.key(0), 2)
    owners = np.empty(len(train), np.int32)
    owners[np.argsort(np.asarray(train.y), kind="stable")] = np.arange(len(train)) // 20
    train, planted = cu.datasets.mislabel(keys[0], replace(train, owners=owners), MISLABELLED, 10)
    problem = initialised(cu.classification(ground["model"], train))
    recipe = cu.Recipe(learning_rate=0.1, epochs=ground["epochs"], batch_size=50, radius=30.0, weight_decay=1e-3)
    return cu.train(problem, recipe, keys[1]), test, planted


def _words(kind: str, run: cu.Run) -> str:
    size = round(SHARE * len(run.present))
    match kind:
        case "class":
            return f"class:3:{size}"
        case "owner":
            return "owner:" + ",".join(map(str, range(5, 5 + max(1, size // 20))))
        case _:
            return f"{kind}:{size}"


def _rows(scale: str, name: str, kind: str) -> list[Row]:
    ground = GROUNDS[scale][name]
    run, test, planted = _trained(scale, name)
    ask_key, other_key, judge_key = jax.random.split(jax.random.key(KINDS.index(kind)), 3)
    words = _words(kind, run)
    request = cu.requests.parse(words, ask_key, run, planted)
    other = cu.requests.another(words, other_key, run, request, planted)
    settings = {m: {"operator": "ggn", "damping": 0.1} for m in ("newton_step", "jackknife")}
    settings["newton"] = {"operator": "ggn"}
    (report,) = cu.compare(
        run,
        {words: request},
        judge_key,
        test=test,
        methods=cu.every_method(settings),
        budget=BUDGET,
        attacks=("ulira", "rmia", "update_difference"),
        shadows=ground["shadows"],
        models=ground["models"],
        patience=ground["patience"],
        tuning={words: other},
    )
    rows = []
    for title, found in report.rows.items():
        row: Row = {"data": name, "request": kind, "method": title, "verdict": report.verdicts.get(title, "")}
        row |= {column: found[column] for column in COLUMNS if column in found}
        for attack, one in report.attacks.get(title, {}).items():
            row |= {f"{attack}_auc": one.auc, f"{attack}_tpr": one.tpr_at_1}
        rows.append(row)
    return rows


def draw(rows: list[Row], figure: Any) -> None:
    """U-LiRA's AUC against the tug of war, one panel for each kind of request."""
    for axes, kind in zip(figure.subplots(2, 3).ravel(), KINDS, strict=True):
        for row in select(rows, request=kind, data="MNIST, MLP"):
            if "ulira_auc" in row and "tug_of_war" in row:
                proved = row["verdict"] == "PROVED"
                axes.plot(
                    row["tug_of_war"][0], row["ulira_auc"][0], "*" if proved else ".", color="C2" if proved else "C0"
                )
        axes.set_title(kind, fontsize=7)
        axes.tick_params(labelsize=5)
        axes.axhline(0.5, color="grey", lw=0.5)
    figure.supxlabel("tug of war", fontsize=7)
    figure.supylabel("AUC of U-LiRA", fontsize=7)


ALL = Table(
    name="all",
    title="All methods on all kinds of requests",
    stands_for=(
        f"Each method forgets {SHARE:.0%} of the examples, is certified at epsilon 1 and delta 1e-5, and is attacked. "
        "Settings are the best of a few on another request of the same kind; the seconds of that stand beside. A tenth "
        "of the labels are wrong on purpose. Owners hold twenty examples of one or two classes. «+ noise» is the "
        "release. U-LiRA and RMIA understate with few shadow models (32 and 16 at the small scale), and KLoM is that "
        "of few models (20 and 10). A star in the figure is PROVED."
    ),
    jobs=jobs,
    by=("data", "request", "method"),
    words=("verdict",),
    columns=(
        Column("relative_distance", "distance / doing nothing", tolerance=0.2),
        Column("tug_of_war", "tug of war", floor=0.05),
        Column("forget_accuracy", "forgotten", floor=0.1),
        Column("test_accuracy", "test", floor=0.05),
        Column("relearn_epochs", "relearn epochs", floor=3),
        Column("ulira_auc", "U-LiRA AUC", floor=0.1),
        Column("ulira_tpr", "U-LiRA TPR at 1%", floor=0.2),
        Column("rmia_auc", "RMIA AUC", floor=0.1),
        Column("update_difference_auc", "two-model AUC", floor=0.1),
        Column("klom_forget", "KLoM 95%, few", tolerance=0.5),
        Column("seconds", "seconds", tolerance=None),
        Column("tuning_seconds", "tuning seconds", tolerance=None),
    ),
    draw=draw,
)
