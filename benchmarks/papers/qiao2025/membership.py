"""Membership inference against the release (MIA-L) and against both models (MIA-U)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import optax

import certunl as cu
from benchmarks.papers.grounds import accuracy
from benchmarks.papers.qiao2025.judging import KEY, jobs_of, percent
from benchmarks.papers.qiao2025.trainings import CNN, LR, Training, asked, smooth, trained
from benchmarks.papers.table import Column, Job, Row, Statement, Table, mean, select
from certunl.attacks.lira import LiRA
from certunl.attacks.update_difference import UpdateDifference
from certunl.membership import attack_all

__all__ = ["TABLE"]

SHADOWS = 16
ATTACKS = {"mia_l": LiRA(), "mia_u": UpdateDifference()}
SIGMAS = (0.0, 0.01, 0.1)
METHODS = ("doing nothing", "retrain", "hessian_free")


def jobs(scale: str) -> list[Job]:
    common = {"sigmas": list(SIGMAS), "shadows": SHADOWS}
    if scale == "paper":
        shares = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
        return jobs_of([(one, 6, shares) for one in (LR, CNN, smooth(CNN))], rows, **common)
    short = replace(smooth(CNN), recipe=replace(CNN.recipe, epochs=10))
    return jobs_of([(LR, 2, (0.05, 0.2, 0.3)), (short, 1, (0.2,))], rows, **common)


def rows(training: Training, seed: int, shares: Sequence[float], shadows: int = SHADOWS) -> list[Row]:
    run, test = trained(training, seed)
    found = []
    for number, share in enumerate(shares):
        request = asked(run, seed, share)
        noise_key, attack_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), number))
        plain = {
            "doing nothing": run.params,
            "retrain": cu.Retrain().forget(run, None, request, KEY).params,
            "hessian_free": cu.HessianFree().forget(run, None, request, KEY).params,
        }
        # the same noise for each model, as the definition of certified unlearning has it
        models = {(name, sigma): noised(noise_key, plain[name], sigma) for name in METHODS for sigma in SIGMAS}
        named = {f"{name}, {sigma}": params for (name, sigma), params in models.items()}
        results, _, _ = attack_all(run, request, named, test, attack_key, ATTACKS, shadows=shadows)
        for (name, sigma), params in models.items():
            row: Row = {"network": training.name, "forgotten": percent(share), "sigma": f"{sigma:g}", "method": name}
            row["test_accuracy"] = accuracy(run.problem, params, test)
            for attack, one in results[f"{name}, {sigma}"].items():
                row |= {f"{attack}_auc": one.auc, f"{attack}_tpr": one.tpr_at_1}
            found.append(row)
    return found


@jax.jit
def noised(key: Any, params: Any, sigma: float) -> Any:
    """params + sigma Z, from a key that anyone may know: for measurements, never for a release."""
    return jax.tree.map(lambda p, z: p + sigma * z, params, optax.tree.random_like(key, params))


def statements(rows: list[Row]) -> list[Statement]:
    said = []
    for network in dict.fromkeys(row["network"] for row in rows):
        said += [_defended(rows, network, attack) for attack in ATTACKS]
        said.append(_noise(rows, network))
    return said


def _gaps(rows: list[Row], network: str, key: str, method: str, sigma: str = "0") -> list[float]:
    """The differences to retraining at every share."""
    value = partial(mean, rows, key, network=network, sigma=sigma)
    shares = dict.fromkeys(row["forgotten"] for row in select(rows, network=network))
    return [value(forgotten=share, method=method) - value(forgotten=share, method="retrain") for share in shares]


def _defended(rows: list[Row], network: str, attack: str) -> Statement:
    mine, nothing = (_gaps(rows, network, f"{attack}_auc", name) for name in ("hessian_free", "doing nothing"))
    worst, power = max(map(abs, mine)), max(map(abs, nothing))
    return Statement(
        f"{attack.upper().replace('_', '-')} separates members no better after HF than after retraining ({network})",
        "yes",
        f"AUC at most {worst:.2f} from retraining's; doing nothing is at most {power:.2f} from it",
        None if power < 0.05 else worst < max(0.05, power / 2),
        "the attack does not tell even doing nothing from retraining here, so that nothing follows"
        if power < 0.05
        else "counted as less than 0.05, or half of what doing nothing is away",
    )


def _noise(rows: list[Row], network: str) -> Statement:
    levels = [sigma for sigma in dict.fromkeys(row["sigma"] for row in rows) if sigma != "0"]
    value = partial(mean, rows, network=network, method="hessian_free")
    shares = dict.fromkeys(row["forgotten"] for row in select(rows, network=network))

    def worst(sigma: str) -> tuple[float, float]:
        """(the largest AUC of MIA-U above chance, the largest loss of accuracy)."""
        names = [{"forgotten": share, "sigma": sigma} for share in shares]
        losses = [value("test_accuracy", **one | {"sigma": "0"}) - value("test_accuracy", **one) for one in names]
        return max(abs(value("mia_u_auc", **one) - 0.5) for one in names), max(losses)

    bare, found = worst("0")[0], {sigma: worst(sigma) for sigma in levels}
    good = [sigma for sigma, (power, loss) in found.items() if power <= max(0.05, bare / 2) and loss <= 0.02]
    words = "; ".join(f"sigma {s}: {0.5 + p:.2f}, {100 * loss:.1f} points lost" for s, (p, loss) in found.items())
    return Statement(
        f"Noise takes MIA-U's power and leaves the accuracy ({network})",
        "yes",
        f"largest AUC of MIA-U without noise {0.5 + bare:.2f}; {words}",
        None if bare < 0.05 else bool(good),
        "MIA-U has no power here without noise either"
        if bare < 0.05
        else "counted as half of the power at most, for two points of accuracy at most",
    )


def draw(rows: list[Row], figure: Any) -> None:
    axes, styles = (
        figure.subplots(1, 2, sharey=True),
        dict(zip((f"{s:g}" for s in SIGMAS), ("-", "--", ":"), strict=True)),
    )
    network = rows[0]["network"]
    for axis, attack in zip(axes, ATTACKS, strict=True):
        axis.axhline(0.5, color="grey", linestyle=":", linewidth=1)
        for sigma in dict.fromkeys(row["sigma"] for row in rows):
            for number, method in enumerate(METHODS):
                mine = [r for r in select(rows, network=network, sigma=sigma, method=method) if f"{attack}_auc" in r]
                places = [float(row["forgotten"].rstrip("%")) for row in mine]
                label = f"{method}, sigma {sigma}"
                axis.plot(places, [r[f"{attack}_auc"][0] for r in mine], styles[sigma], color=f"C{number}", label=label)
        axis.set(title=f"{attack.upper().replace('_', '-')}, {network}", xlabel="forgotten, %")
    axes[0].set_ylabel("AUC")
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=6, ncols=3, loc="outside upper center")


TABLE = Table(
    name="membership",
    title="Membership inference over shares forgotten and noise",
    stands_for=f"The paper's MIA-L (LiRA with {SHADOWS} shadow models, on the released model) and MIA-U (Chen et "
    "al., on the original and the released model), beside the same attacks on retraining and on doing nothing with "
    "the same noise. Rates of true positives need 100 scored non-members. Differs: the authors' script of MIA-L "
    "attacks the first network with noise in place of the released one, and that of MIA-U scores the rows it learnt "
    "from; here the release is attacked, and MIA-U is scored on the other half. Small: fewer seeds and shares, and "
    "10 epochs of the CNN with tanh.",
    jobs=jobs,
    by=("network", "forgotten", "sigma", "method"),
    columns=(
        Column("mia_l_auc", "MIA-L AUC", floor=0.03),
        Column("mia_l_tpr", "MIA-L TPR at 1% FPR", floor=0.05),
        Column("mia_u_auc", "MIA-U AUC", floor=0.05),
        Column("mia_u_tpr", "MIA-U TPR at 1% FPR", floor=0.1),
        Column("test_accuracy", "test accuracy", floor=0.01),
    ),
    statements=statements,
    draw=draw,
)
