"""The ways to train and to forget that `advise` compares, with prices in closed form and measured accuracies."""

import json
import math
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from certunl.certificates.gaussian import noise_ratio, read_epsilon
from certunl.certificates.mixtures import mixture_epsilon
from certunl.certificates.sharing import SHARE
from certunl.training.secret_batches import MISSED

__all__ = ["Question", "Way", "measured"]

_STATES, _MEASURED = 20, 0.075
"""States that a training with noise keeps, and the least ratio of a release at which linear models were measured."""

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
    examples: int

    @property
    def ratio(self) -> float:
        """The ratio of Gaussians with this epsilon and delta."""
        return 1 / noise_ratio(self.epsilon, self.delta)

    def ways(self, public: bool) -> list[Way]:
        private = [*self._exact(), *self._noisy(), *self._secret(), self._headed(), self._linear()]
        return [*private, *([self._public()] if public else [])]

    def _way(self, name: str, train: str, forget: str, accuracy: Any, epsilon: float, work: float, **rest: Any) -> Way:
        verdict, each = rest.pop("verdict", "PROVED"), rest.pop("each", self.ratio)
        budget = min(self.epsilon, read_epsilon(1 / each, self.delta))
        if budget:  # with four digits, rounded down; too little for an epsilon fits nothing
            digits = 10.0 ** (3 - math.floor(math.log10(budget)))
            budget = math.floor(budget * digits + 1e-6) / digits
        forget += f" --epsilon {budget:g} --delta {self.delta:g} --total {self.epsilon:g}"
        fits = verdict == "PROVED" and accuracy is not None and work <= self.work + 1e-9
        fits = fits and budget > 0 and epsilon <= self.epsilon * (1 + 1e-9)
        both = (accuracy, accuracy) if isinstance(accuracy, float) else accuracy
        said = {"name": name, "train": train, "forget": forget, "accuracy": both, "epsilon": epsilon, "work": work}
        return Way(**said, verdict=verdict, fits=fits, **rest)

    def _exact(self) -> list[Way]:
        ways = []
        for line in self.facts["shards"]:
            shards, slices = line["shards"], line["slices"]
            if shards * slices > self.examples:
                continue
            name = "one model, retrained" if shards == 1 else f"{shards} shards"
            words = "--model mlp --set optimizer=momentum learning_rate=0.05"
            words += f" epochs={line['epochs']} batch_size={min(line['batch'], self._batch(line))}"
            words += "".join(f" {part}={line[part]}" for part in ("shards", "slices") if line[part] > 1)
            # stage j of a shard is repeated if one of its first j slices holds some of the request
            steps = [2 * j / (slices * (slices + 1)) for j in range(1, slices + 1)]
            chances = [1 - (1 - j / (slices * shards)) ** self.size for j in range(1, slices + 1)]
            work = sum(share * chance for share, chance in zip(steps, chances, strict=True))
            name += f", {slices} slices" if slices > 1 else ""
            ways.append(self._way(name, words, "--method retrain", line["accuracy"], 0.0, work))
        return ways

    def _noisy(self) -> list[Way]:
        unit, ways = self._slots(self.facts["noise"][0]), []
        for line in self.facts["noise"]:
            ratio, epsilon, back, steps = unit / line["noise"], self.epsilon, 0.0, self._steps(line)
            if ratio > self.ratio:  # all requests go back to one kept state, so that the last one counts for all
                place = int((self.ratio / ratio) ** 2 * _STATES) * steps // _STATES
                back = 1 - place / steps
            else:
                epsilon = read_epsilon(1 / ratio, self.delta)
            how = f" --set rewind_to={steps - round(back * steps)}" if back else ""
            name = f"noise {line['noise']:g}" + (", and going back" if back else ", as it is")
            forget = f"--method noisy_retrain{how}"
            train = self._noise(line, line["noise"]) + (f" --states {_STATES}" if back else "")
            ways.append(self._way(name, train, forget, line["accuracy"], epsilon, back))
        needed = unit / self.ratio
        if accuracy := _between(self.facts["noise"], needed):  # less noise than was measured needs no row of its own
            train = self._noise(self.facts["noise"][0], needed)
            ways.append(
                self._way(f"noise {needed:.3g}, as it is", train, "--method noisy_retrain", accuracy, self.epsilon, 0.0)
            )
        return ways

    def _secret(self) -> list[Way]:
        ways, k = [], self.requests * self.size
        for line in self.facts["secret"]:
            batch = self._batch(line)
            steps = line["epochs"] * math.ceil(self.examples / batch)
            ask = {"group": k, "rate": batch / self.examples, "steps": steps, "rounding": 0.02, "missed": 2 * MISSED}
            epsilon = mixture_epsilon(self.delta, noise=line["noise"], **ask) if self.delta >= 1e-9 else math.inf
            name = f"noise {line['noise']:g}, secret batches"
            train = self._noise(line, line["noise"], decay=0.996) + " batches=secret"
            note = "for those who see neither the batches nor the run folder"
            forget = "--method noisy_retrain"
            ways.append(self._way(name, train, forget, line["accuracy"], epsilon, 0.0, note=note))
        return ways

    def _headed(self) -> Way:
        lines = self.facts["heads"]
        # the network counts once for all requests, and the noise of each release by itself
        each = self.ratio / math.hypot(SHARE, math.sqrt((1 - SHARE**2) * self.requests))
        needed = self._slots(lines[0]) / (SHARE * each)
        needed = max(needed, min(line["noise"] for line in lines))
        train = self._noise(lines[0], needed)
        head = "--model linear --features NETWORK --set bound=1 weight_decay=1e-5 learning_rate=4 epochs=40"
        name = f"noise {needed:.3g}, and a linear model on its features"
        accuracy = _between(lines, needed) if math.sqrt(1 - SHARE**2) * each >= _MEASURED else None
        note = "the network may be published with each release; who needs more than its noise gives trains both anew"
        return self._way(name, head, _REMOVAL, accuracy, self.epsilon, 0.0, note=note, network=train, each=each)

    def _linear(self) -> Way:
        each = self.ratio / math.sqrt(self.requests)
        accuracy = self.facts["linear"]["accuracy"] if each >= _MEASURED else None
        train = "--model linear --set bound=1 weight_decay=1e-5 learning_rate=4 epochs=40"
        return self._way("linear model, no network", train, _REMOVAL, accuracy, self.epsilon, 0.0, each=each)

    def _public(self) -> Way:
        each = self.ratio / math.sqrt(self.requests)
        accuracy = self.facts["public"]["accuracy"] if each >= 1 / noise_ratio(1.0, 1e-5) * (1 - 1e-9) else None
        note = "PROVED up to the assumption that the public data hold nothing of the private ones, which nobody checks"
        train = "--model linear --features NETWORK --set bound=1 weight_decay=1e-3 learning_rate=1 epochs=30"
        name, forget = "linear model on features of public data", "--method certified_removal"
        rest = {"verdict": "CONDITIONAL", "note": note, "network": "--model mlp", "each": each}
        way = self._way(name, train, forget, accuracy, self.epsilon, 0.0, **rest)
        return replace(way, fits=accuracy is not None)

    def _steps(self, line: dict[str, Any]) -> int:
        return line["epochs"] * round(self.facts["examples"] / line["batch"])

    def _noise(self, line: dict[str, Any], noise: float, decay: float = 0.99) -> str:
        """The training with this noise, rounded up, in as many batches as were measured."""
        rates = f"learning_rate=8 decay={decay:g}"
        up, batch = math.ceil(noise * 100) / 100, self._batch(line)
        return f"--model mlp --set clip_each=1 noise={up:g} epochs={line['epochs']} batch_size={batch} {rates}"

    def _batch(self, line: dict[str, Any]) -> int:
        return math.ceil(self.examples * line["batch"] / self.facts["examples"])

    def _slots(self, line: dict[str, Any]) -> float:
        """√(E (k + k (k − 1) (b − 1)/(n − 1))), the ratio for noise 1, with a fiftieth for the rounding of sums."""
        k, n = self.requests * self.size, self.facts["examples"]
        return 1.02 * math.sqrt(line["epochs"] * (k + k * (k - 1) * (line["batch"] - 1) / (n - 1)))


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
