"""Which methods resist attacks on real MNIST, with random, class and influential requests?

python benchmarks/compared.py [--save] [--small]        the same as `certunl compare`, without its page
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import jax
from harness import arguments, made, tell
from problems import images

import certunl as cu

FULL = {"examples": 10_000, "hidden": (32, 32), "epochs": 20, "forgotten": 1000, "shadows": 16}
SMALL = {"examples": 120, "hidden": (8,), "epochs": 2, "forgotten": 12, "shadows": 4}
SETTINGS = {"newton": {"operator": "ggn", "damping": 0.1}, "newton_step": {"operator": "ggn", "damping": 0.1}}
FEW = ("finetune", "hessian_free", "certified_removal")
COLUMNS = ("relative_distance", "test_accuracy", "forget_accuracy", "tug_of_war", "relearn_epochs", "seconds")
RATE, SEED = 0.2, 0


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    return ask(save=given.save, small=given.small, **(SMALL if given.small else FULL))


def ask(
    *, examples: int, hidden: tuple[int, ...], epochs: int, forgotten: int, shadows: int, save: bool, small: bool
) -> list[dict[str, Any]]:
    """One line of JSON for each request."""
    whole, source = images(examples + 200 if small else examples, real=not small)
    train = whole[:examples]
    test = whole[examples:] if small else cu.datasets.load("mnist", train=1).test
    problem = cu.classification(cu.models.MLP(hidden=hidden, classes=10), train)
    recipe = cu.Recipe(learning_rate=RATE, epochs=epochs, batch_size=100, radius=30.0, weight_decay=1e-4)
    train_key, ask_key, judge_key = jax.random.split(jax.random.key(SEED), 3)
    run = cu.train(problem, recipe, train_key)
    few = 4 if small else forgotten
    requests = {
        f"random:{forgotten}": cu.requests.random(ask_key, run, forgotten),
        f"class:3:{few}": cu.requests.by_class(ask_key, run, 3, few),
        f"influential:{forgotten}": cu.requests.influential(run, forgotten),
    }
    methods = cu.every_method({} if small else SETTINGS, FEW if small else None)
    reports = cu.compare(
        run, requests, judge_key, methods=methods, test=test, shadows=shadows, tell=lambda s: print(s, file=sys.stderr)
    )
    lines = []
    for report in reports:
        attacks = {name: {title: _short(one) for title, one in held.items()} for name, held in report.attacks.items()}
        line = {
            "question": "compared",
            "settings": {
                "model": "-".join(map(str, (784, *hidden, 10))),
                "data": source,
                "examples": examples,
                "recipe": repr(recipe),
                "request": report.request,
                "seed": SEED,
                **report.settings,
            },
            "rows": {name: {c: row.get(c) for c in COLUMNS} for name, row in report.rows.items()},
            "verdicts": report.verdicts,
            "attacks": attacks,
            "controls_at_chance": {name: one.at_chance for name, one in report.controls.items()},
            "left_out": report.left_out,
            **made(False),
        }
        lines.append(tell(line, save=save))
    return lines


def _short(found: Any) -> dict[str, Any]:
    """The attack without its ROC curve."""
    return {name: value for name, value in asdict(found).items() if name not in ("fpr", "tpr")}


if __name__ == "__main__":
    main()
