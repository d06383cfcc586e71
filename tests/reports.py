"""Reports as a full evaluation would make them: twenty methods, six attacks, several requests."""

import numpy as np

from certunl.audits.audit import Audit
from certunl.evaluation import Report
from certunl.membership.roc import judge

PLAIN = ("hessian_free", "finetune", "neggrad", "fisher", "influence", "lcodec", "newton_lissa", "scrub", "bad_teacher")
CERTIFIED = ("newton", "certified_removal", "descent_to_delete", "rewind_to_delete", "noisy_finetuning", "noisy_sgd")
ATTACKS = ("loss_threshold", "entropy", "lira", "update_difference", "relearning", "nearest_neighbours")


def reports(sizes=(100, 500, 12), attacks=ATTACKS):
    """One Report for each of `sizes`."""
    requests = ("random:100", "class:3:500", "owner:7,19")
    return [
        report(size, request, attacks, seed) for seed, (size, request) in enumerate(zip(sizes, requests, strict=False))
    ]


def report(size=100, request="random:100", attacks=ATTACKS, seed=0):
    """Twenty methods: doing nothing, retraining, nine without a theorem, six with and without their noise (one of them
    CONDITIONAL, one VACUOUS, one refuted)."""
    rng = np.random.default_rng(seed)
    noised = [f"{name} + noise" for name in CERTIFIED[:3]]
    names = ["original", "retrain", *PLAIN, *CERTIFIED, *noised]
    rows = {name: _row(rng, name) for name in names}
    for name in (*CERTIFIED, *noised):
        rows[name]["sigma"] = float(10 ** rng.uniform(-3, -1))
    verdicts = dict.fromkeys(PLAIN, "NOT CERTIFIED") | dict.fromkeys((*CERTIFIED, *noised), "PROVED")
    verdicts |= {"noisy_sgd": "CONDITIONAL", "descent_to_delete": "VACUOUS", "descent_to_delete + noise": "VACUOUS"}
    how = "500 releases from the same request against 500 of retraining, by the loss on the forgotten examples"
    claim = {"epsilon": 1.0, "delta": 1e-5, "confidence": 0.99, "how": how}
    audits = {name: Audit(lower=0.62 * rng.random(), **claim) for name in (*noised, *CERTIFIED[3:])}
    audits["rewind_to_delete"] = Audit(lower=2.314, **claim)
    levels = [0.0, *np.geomspace(1e-4, 3, 12).tolist()]
    middles = dict(zip(CERTIFIED, rng.uniform(0.02, 0.5, len(CERTIFIED)), strict=True))
    tradeoffs = {n: {s: float(0.1 + 0.85 / (1 + (s / middle) ** 2)) for s in levels} for n, middle in middles.items()}
    return Report(
        rows=rows,
        forgotten=size,
        verdicts=verdicts,
        request=request,
        attacks={name: {attack: _attacked(rng, _leak(name)) for attack in attacks} for name in names},
        controls={attack: _attacked(rng, 0.35 if attack == "lira" else 0.0) for attack in attacks},
        audits=audits,
        tradeoffs=tradeoffs,
        claims=dict.fromkeys((*CERTIFIED, *noised), (1.0, 1e-5)),
        examples={"forget": size, "retain": 10000 - size, "test": 2000},
        left_out={"jackknife": "its rows for 21,840 parameters take 3.8 GB; it is for at most 2,000 parameters"},
    )


def _leak(name):
    return {"original": 1.2, "neggrad": -0.9, "finetune": 0.8, "retrain": 0.0}.get(name, 0.15)


def _attacked(rng, shift, size=1000):
    return judge(rng.normal(size=2 * size) + shift * (np.arange(2 * size) < size), np.arange(2 * size) < size)


def _row(rng, name):
    away = {"original": 1.0, "retrain": 0.0}.get(name, float(10 ** rng.uniform(-2.2, 0.4)))
    row = {"distance": 0.0731 * away, "relative_distance": away, "cosine": 1 - away / 50, "update_cosine": 1 - away / 3}
    for split, top in (("forget", 0.93), ("retain", 0.99), ("test", 0.955)):
        row[f"{split}_accuracy"] = float(min(1, top + rng.normal() * 0.012 + 0.05 * (name == "original")))
        row[f"{split}_loss"] = float(rng.uniform(0.02, 0.4))
    row |= {"tug_of_war": float(rng.uniform(0.8, 1)), "agreement": float(rng.uniform(0.9, 1))}
    row |= {
        "seconds": float("nan")
        if name == "original"
        else 38.2
        if name == "retrain"
        else float(10 ** rng.uniform(-2, 1))
    }
    row |= {"relearn_epochs": float(rng.integers(0, 9)), "solver_residual": float("nan")}
    row |= {f"class_{c}_{s}_accuracy": float(rng.uniform(0.7, 1)) for c in range(10) for s in ("forget", "test")}
    return row
