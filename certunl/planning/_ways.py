"""The ways to train and to forget that `advise` compares, with prices in closed form and measured accuracies."""

import json
import math
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from certunl.certificates.gaussian import noise_ratio, read_epsilon

__all__ = ["Question", "Way", "measured"]

_REMOVAL = "--method certified_removal --set tolerance=5e-8"


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to train a model and to make it forget, with what that costs.

    Args:
        name: the way in words.
        train: how to train, in the words of the command line.
        forget: the method, in the same words.
        accuracy: (least, largest) accuracy on test data, as measured; the same number twice if exactly this was
            measured. None: no measured training is near.
        epsilon: of the last request, when everyone has been forgotten.
        work: the share of a training that a request repeats, in expectation over who asks.
        verdict: of a certificate.
        fits: whether `epsilon` and `work` are no more than wanted.
        network: how to train the network of the features first; empty without one.
        note: what the way rests on or lacks, in words.
    """

    name: str
    train: str
    forget: str
    accuracy: tuple[float, float] | None
    epsilon: float
    work: float
    verdict: str
    fits: bool
    network: str = ""
    note: str = ""


@dataclass(frozen=True)
class Question:
    """What `advise` was asked, and the measured lines `facts`."""

    epsilon: float
    delta: float
    requests: int
    size: int
    work: float
    facts: dict[str, Any]

    @property
    def ratio(self) -> float:
        """The ratio of Gaussians with this epsilon and delta."""
        return 1 / noise_ratio(self.epsilon, self.delta)

    def ways(self, public: bool) -> list[Way]:
        return [*self._exact(), *self._noisy(), self._headed(), self._linear(), *([self._public()] if public else [])]

    def _way(self, name: str, train: str, forget: str, accuracy: Any, epsilon: float, work: float, **rest: Any) -> Way:
        verdict = rest.pop("verdict", "PROVED")
        fits = verdict == "PROVED" and accuracy is not None and work <= self.work + 1e-9
        fits = fits and epsilon <= self.epsilon * (1 + 1e-9)
        both = (accuracy, accuracy) if isinstance(accuracy, float) else accuracy
        said = {"name": name, "train": train, "forget": forget, "accuracy": both, "epsilon": epsilon, "work": work}
        return Way(**said, verdict=verdict, fits=fits, **rest)

    def _exact(self) -> list[Way]:
        ways = []
        for line in self.facts["shards"]:
            shards = line["shards"]
            name, words = (
                ("one model, retrained", "") if shards == 1 else (f"{shards} shards", f" --set shards={shards}")
            )
            work = 1 - (1 - 1 / shards) ** self.size
            ways.append(self._way(name, f"--model mlp{words}", "--method retrain", line["accuracy"], 0.0, work))
        return ways

    def _noisy(self) -> list[Way]:
        unit, ways = self._slots(self.facts["noise"][0]), []
        for line in self.facts["noise"]:
            ratio, epsilon, back = unit / line["noise"], self.epsilon, 0.0
            if ratio > self.ratio:
                back = 1 - (self.ratio / ratio) ** 2
            else:
                epsilon = read_epsilon(1 / ratio, self.delta)
            how = f" --set rewind_to={1 - back:.0%} of the steps" if back else ""
            name = f"noise {line['noise']:g}" + (", and going back" if back else ", as it is")
            forget = f"--method noisy_retrain{how}"
            ways.append(self._way(name, _noise(line, line["noise"]), forget, line["accuracy"], epsilon, back))
        needed = unit / self.ratio
        if accuracy := _between(self.facts["noise"], needed):  # less noise than was measured needs no row of its own
            train = _noise(self.facts["noise"][0], needed)
            ways.append(
                self._way(f"noise {needed:.3g}, as it is", train, "--method noisy_retrain", accuracy, self.epsilon, 0.0)
            )
        return ways

    def _headed(self) -> Way:
        lines = self.facts["heads"]
        needed = self._slots(lines[0]) / (self.ratio * lines[0]["part"])
        needed = max(needed, min(line["noise"] for line in lines))
        train = _noise(lines[0], needed)
        head = "--model linear --features NETWORK --set bound=1 weight_decay=1e-5 learning_rate=4 epochs=40"
        name = f"noise {needed:.3g}, and a linear model on its features"
        accuracy = _between(lines, needed)
        note = "the network may be published with each release; who needs more than its noise gives trains both anew"
        return self._way(name, head, _REMOVAL, accuracy, self.epsilon, 0.0, note=note, network=train)

    def _linear(self) -> Way:
        accuracy = self.facts["linear"]["accuracy"]
        train = "--model linear --set bound=1 weight_decay=1e-5 learning_rate=4 epochs=40"
        return self._way("linear model, no network", train, _REMOVAL, accuracy, self.epsilon, 0.0)

    def _public(self) -> Way:
        accuracy = self.facts["public"]["accuracy"]
        note = "PROVED up to the assumption that the public data hold nothing of the private ones, which nobody checks"
        train = "--model linear --features NETWORK --set bound=1 weight_decay=1e-3 learning_rate=1 epochs=30"
        name, forget = "linear model on features of public data", "--method certified_removal"
        way = self._way(name, train, forget, accuracy, self.epsilon, 0.0, verdict="CONDITIONAL", note=note)
        way = replace(way, network="--model mlp")
        return replace(way, fits=True)

    def _slots(self, line: dict[str, Any]) -> float:
        """√(E (k + k (k − 1) (b − 1)/(n − 1))), the ratio for noise 1."""
        k, n = self.requests * self.size, self.facts["examples"]
        return math.sqrt(line["epochs"] * (k + k * (k - 1) * (line["batch"] - 1) / (n - 1)))


def _noise(line: dict[str, Any], noise: float) -> str:
    batch = f"batch_size=N/{1 / line['part_of_data']:g}"
    return f"--model mlp --set clip_each=1 noise={noise:.3g} epochs={line['epochs']} {batch} learning_rate=8 decay=0.99"


def _between(lines: list[dict[str, Any]], noise: float) -> tuple[float, float] | None:
    """The accuracies measured with the next larger and the next smaller noise; None for noise outside of these."""
    by_noise = sorted((line["noise"], line["accuracy"]) for line in lines)
    more = [accuracy for z, accuracy in by_noise if z >= noise * (1 - 1e-3)]
    less = [accuracy for z, accuracy in by_noise if z <= noise * (1 + 1e-3)]
    return (more[0], less[-1]) if more and less else None


@cache
def measured() -> dict[str, Any]:
    """What `python -m benchmarks readme` wrote down from the saved lines of deep_certificates and frozen_features."""
    return json.loads(resources.files("certunl.planning").joinpath("measured.json").read_text())
