"""The measured numbers that `certunl advise` prints, for certunl/planning/measured.json."""

import json
from typing import Any

from benchmarks.saved import Line, Saved

__all__ = ["advice_numbers"]


def advice_numbers(saved: Saved) -> str:
    """The accuracies of the last saved lines of deep_certificates on MNIST, and of a head on public features, as JSON.

    Raises: LookupError if a way was not measured.
    """
    lines = [line for line in saved.latest("deep_certificates", "data", "way") if line["data"] == "mnist"]
    plain = saved.last("deep_certificates", data="mnist", way="1 model")
    public = saved.last("frozen_features", stage="mnist, learnt from 10,000")
    facts = {
        "source": f"MNIST ({plain['examples']:,} images), the network an MLP 784-128-10",
        "examples": plain["examples"],
        "shards": [_exact(line) for line in lines if "shards" in line],
        "noise": [
            _noisy(line)
            for line in lines
            if "noise=" in line["recipe"] and "states" in line and "'secret'" not in line["recipe"]
        ],
        "secret": [_noisy(line) for line in lines if "'secret'" in line["recipe"]],
        "heads": [_noisy(line) for line in lines if "head" in line],
        "linear": {"accuracy": _accuracy(saved.last("deep_certificates", data="mnist", way="linear model"))},
        "public": {"accuracy": round(public["network_test_accuracy"], 4)},
    }
    return json.dumps(facts, indent=1) + "\n"


def _accuracy(line: Line) -> float:
    return round(line["accuracy"]["mean"], 4)


def _exact(line: Line) -> dict[str, Any]:
    recipe = _recipe(line)
    parts = {"shards": line["shards"], "slices": int(recipe.get("slices", 1)), "accuracy": _accuracy(line)}
    return parts | _schedule(recipe)


def _noisy(line: Line) -> dict[str, Any]:
    recipe = _recipe(line)
    return {"noise": float(recipe["noise"]), "accuracy": _accuracy(line)} | _schedule(recipe)


def _schedule(recipe: dict[str, str]) -> dict[str, int]:
    return {"epochs": int(recipe["epochs"]), "batch": int(recipe["batch_size"])}


def _recipe(line: Line) -> dict[str, str]:
    """The settings in the repr of a line's recipe."""
    return dict(word.split("=") for word in line["recipe"].removeprefix("Recipe(").removesuffix(")").split(", "))
