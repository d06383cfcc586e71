"""Utility, relearning, attack and seconds of the method and every baseline of the paper."""

import math
from typing import Any

import numpy as np

import certunl as cu
from benchmarks.papers.grounds import attacked_by_difference, macro_f1
from benchmarks.papers.table import Column, Job, Row, Statement, Table, holds, mean, select
from benchmarks.papers.zhang2024.grounds import (
    GROUNDS,
    SIGMA,
    Ground,
    as_published,
    described,
    house,
    retrained,
    trained,
)
from certunl.membership.relearning import relearn_epochs

__all__ = ["METHODS", "judged"]

SEEDS = (42, 0, 1)
BASELINES = {
    "finetune": cu.FineTune(),
    "neggrad": cu.NegGrad(),
    "fisher": cu.FisherForgetting(),
    "lcodec": cu.LCODEC(),
}
PUBLISHED = "newton, as published"


def jobs(scale: str) -> list[Job]:
    return [
        Job(
            f"{name}, seed {seed}",
            described(ground, seed) | {"methods": {k: repr(v) for k, v in _methods(name, scale).items()}},
            lambda name=name, ground=ground, seed=seed: _rows(name, ground, seed, _methods(name, scale)),
        )
        for name, ground in GROUNDS[scale].items()
        for seed in (SEEDS if scale == "paper" else SEEDS[:1])
    ]


def _methods(name: str, scale: str) -> dict[str, Any]:
    """All methods. At the small scale the deepest network, whose programs compile for minutes, has two."""
    ours = {PUBLISHED: as_published(GROUNDS[scale][name]), "newton, ours": house()}
    if scale == "small" and "ResNet-18" in name:
        return {PUBLISHED: ours[PUBLISHED], "finetune": BASELINES["finetune"]}
    return ours | BASELINES


def _rows(name: str, ground: Ground, seed: int, methods: dict[str, Any]) -> list[Row]:
    """One row for each method. Baselines are tuned on another request of the same size."""
    at = trained(ground, seed)
    run, key = at.run, at.forget_key
    baselines = {title: method for title, method in methods.items() if title in BASELINES}
    chosen = cu.evaluation.tune(run, baselines, at.other, key, test=at.test)
    methods = methods | {title: one.method for title, one in chosen.items()}
    truth = retrained(ground, seed)
    updates = {"retrain": truth}
    for title, method in methods.items():
        try:
            updates[title] = method.forget(run, None, at.request, key)
        except cu.Diverged:
            continue
    models: dict[str, Any] = {"original": run.params} | {title: one.projected() for title, one in updates.items()}
    if PUBLISHED in updates:
        release = cu.certify(updates[PUBLISHED], cu.Budget(delta=0.1, sigma=SIGMA), cu.secret_key())
        models[f"{PUBLISHED}, noise {SIGMA:g}"] = release.params
    rows = []
    for title, params in models.items():
        row = judged(at, params, truth) | {"data": name, "method": title, "seed": seed}
        if title in updates:
            row["seconds"] = updates[title].cost["seconds"]
        if title in chosen:
            row |= {"tuning_seconds": chosen[title].seconds, "settings": str(chosen[title].settings)}
        rows.append(row)
    return rows


def judged(at: Any, params: Any, truth: Any, request: Any = None) -> Row:
    """Accuracies, macro-F1 on unseen examples, relative distance, epochs of relearning, and the attack."""
    request = at.request if request is None else request
    update = cu.Update(params=params, method="judged", guarantee=cu.Guarantee(says=None, reference=""), radius=None)
    found = cu.evaluate(at.run, request, {"judged": update}, test=at.test, reference=truth).rows["judged"]
    accuracy, auc = attacked_by_difference(at.run, request, params, at.test, at.judge_key)
    relearn = relearn_epochs(at.run, params, request, at.judge_key)
    return {
        **{column: found[column] for column in ("forget_accuracy", "retain_accuracy", "test_accuracy")},
        "test_f1": macro_f1(at.run.problem, params, at.test),
        "relative_distance": found["relative_distance"],
        "relearn_epochs": relearn if math.isfinite(relearn) else None,
        "attack_accuracy": accuracy,
        "attack_auc": auc,
    }


def statements(rows: list[Row]) -> list[Statement]:
    """What the paper says of utility, attacks and time, in the mean over the seeds of each training."""
    result = []
    for name in dict.fromkeys(row["data"] for row in rows):
        here = select(rows, data=name)

        def of(column: str, method: str, here: Any = here) -> float:
            return mean(here, column, method=method)

        kept, base = of("test_accuracy", PUBLISHED), of("test_accuracy", "retrain")
        away, own = (of("relative_distance", method) for method in (PUBLISHED, "newton, ours"))
        result.append(
            Statement(
                f"{name}: the unlearned model is about as accurate on unseen examples as the retrained one",
                "-",
                f"{kept:.4f}, retrained {base:.4f}, original {of('test_accuracy', 'original'):.4f}",
                holds(abs(kept - base) <= 0.02, kept, base),
                "counted up to two points"
                + ("; the step does next to nothing, and keeps the original's accuracy" if away > 0.99 else ""),
            )
        )
        result.append(
            Statement(
                f"{name}: the step comes closer to retraining than doing nothing",
                "-",
                f"{away:.4f} of the distance of doing nothing" + ("" if own != own else f" (ours: {own:.4f})"),
                holds(away < 0.99, away),
                "" if away < 0.99 else "with this damping the step is a very short gradient step",
            )
        )
        ratio = of("seconds", "retrain") / of("seconds", PUBLISHED)
        result.append(
            Statement(
                f"{name}: more than ten times faster than retraining",
                "> 10 times",
                f"{ratio:.3g} times",
                holds(ratio > 10, ratio),
                "" if ratio > 10 else "the recursion's depth is fixed, and retraining is short at this size",
            )
        )
        gap = of("attack_auc", PUBLISHED) - of("attack_auc", "retrain")
        result.append(
            Statement(
                f"{name}: the attack tells the forgotten from the unseen no better than after retraining",
                "-",
                f"AUC {of('attack_auc', PUBLISHED):.3f}, retrained {of('attack_auc', 'retrain'):.3f}, "
                f"original {of('attack_auc', 'original'):.3f}",
                holds(gap <= 0.02, gap),
                "counted up to 0.02",
            )
        )
    return result


def draw(rows: list[Row], figure: Any) -> None:
    """Accuracy on forgotten against unseen examples, one panel for each training."""
    names = list(dict.fromkeys(row["data"] for row in rows))
    colours = {method: f"C{i}" for i, method in enumerate(dict.fromkeys(row["method"] for row in rows))}
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        for row in select(rows, data=name):
            at, method = (row["forget_accuracy"][0], row["test_accuracy"][0]), row["method"]
            axes.plot(*at, "o", color=colours[method], label=method)
        axes.set(xlabel="forgotten: accuracy", title=name)
        axes.title.set_fontsize(7)
    figure.axes[0].set_ylabel("test accuracy")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=6)


METHODS = Table(
    name="methods",
    title="Forgetting a random part: utility, relearning, attack and time",
    stands_for=(
        "The paper's tables of F1 (micro-F1 is the accuracy), relearn time, membership attack and time. Where the "
        "files of SVHN are not there, ResNet-18 has CIFAR-10 alone. At the small scale AllCNN has a third of the width "
        "and ResNet-18 half of it, both 500 images of 8 x 8 pixels, LiSSA makes 2 chains of 100 steps, ResNet-18 "
        "has two methods, and each training has one seed. Baselines have the best of a few settings, chosen on another "
        "request. The paper's text has 50 epochs, the authors' code 30. The seconds of Newton contain the measurement "
        "of the spectrum, 24 products on at most 1,024 examples, which the paper's step does not have. Models have "
        "GroupNorm for BatchNorm."
    ),
    jobs=jobs,
    by=("data", "method"),
    columns=(
        Column("forget_accuracy", "forgotten", floor=0.03),
        Column("retain_accuracy", "retained", floor=0.03),
        Column("test_accuracy", "test", floor=0.03),
        Column("test_f1", "test macro-F1", floor=0.03),
        Column("relearn_epochs", "relearn epochs", floor=2),
        Column("attack_accuracy", "attack accuracy", floor=0.05),
        Column("attack_auc", "attack AUC", floor=0.05),
        Column("relative_distance", "distance / doing nothing", tolerance=0.2),
        Column("seconds", "seconds", tolerance=None),
        Column("tuning_seconds", "tuning seconds", tolerance=None),
    ),
    statements=statements,
    draw=draw,
    noised=lambda row: row["method"].endswith(f"noise {SIGMA:g}"),
)
