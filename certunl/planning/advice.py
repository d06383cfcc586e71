"""Which model to train, so that what it forgets is PROVED: measured accuracies beside the prices of forgetting."""

from dataclasses import dataclass
from typing import Any

from certunl.errors import positive, proportion, share, whole
from certunl.planning._ways import Question, Way, measured

__all__ = ["Advice", "Way", "advise", "chosen"]


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The ways, the most accurate one that fits first. `print` shows them as a table.

    Args:
        ways: every way; those that fit come first.
        epsilon, delta, requests, size, work: the question.
        source: the data and the model of the accuracies, in words.
    """

    ways: tuple[Way, ...]
    epsilon: float
    delta: float
    requests: int
    size: int
    work: float
    source: str

    def __str__(self) -> str:
        lines = [f"{'':<2}{'way':<48}{'accuracy':>17}{'epsilon':>10}{'work':>7}  verdict"]
        for way in self.ways:
            accuracy = "not measured"
            if way.accuracy is not None:
                accuracy = " to ".join(f"{a:.4f}" for a in dict.fromkeys(way.accuracy))
            mark = "*" if way.fits else "-"
            lines.append(f"{mark:<2}{way.name:<48}{accuracy:>17}{way.epsilon:>10.3g}{way.work:>7.2f}  {way.verdict}")
        lines += ["", *self._first(), *self._notes()]
        return "\n".join(lines)

    def _first(self) -> list[str]:
        first = self.ways[0]
        if not first.fits:
            return ["none fits: allow more work, a larger epsilon or fewer requests"]
        return [
            f"take: {first.name}",
            *([f"  certunl train NETWORK --dataset DATA {first.network}"] if first.network else []),
            f"  certunl train RUN --dataset DATA {first.train}",
            f"  certunl forget RUN --request ... {first.forget}",
        ]

    def _notes(self) -> list[str]:
        question = f"{self.requests:,} x {self.size:,} examples"
        names: dict[str, list[str]] = {}
        for way in self.ways:
            if way.note:
                names.setdefault(way.note, []).append(way.name)
        notes = [f"{of[0]}{' and the like' if len(of) > 1 else ''}: {note}" for note, of in names.items()]
        return [
            "",
            f"* fits requests for {question}, epsilon {self.epsilon:g} at delta {self.delta:g} for all of them, and",
            f"work of {self.work:g}; - does not",
            "work is the share of a training that one request repeats; 0 is seconds or less",
            f"accuracies were measured on {self.source}; yours will differ, prices and work will not",
            *notes,
            "requests must not be chosen after seeing a release, nor settings with the data",
        ]


def advise(
    *,
    epsilon: float = 1.0,
    delta: float = 1e-5,
    requests: int = 1,
    size: int = 1,
    work: float = 1.0,
    public: bool = False,
    examples: int = 60_000,
) -> Advice:
    """The Advice for a model that must forget `requests` times, with certificates that are PROVED for any network.

    With n examples, batches of b, E epochs, noise z and k forgotten examples in all, the ratio of training with noise
    is expected to be r = √(E (k + k (k − 1) (b − 1)/(n − 1)))/z, over random batches. A fiftieth of it is added for the
    rounding of sums. The epsilon of doing nothing is `read_epsilon(1/r, delta)`, and that of `theorems.secret_batches`
    for secret ones. Going back to step s leaves the ratio r √(s/T).

    A request for m examples replays 1 − (1 − 1/S)^m of S shards. If each shard has R slices, it replays

        sum_j 2 j/(R (R + 1)) (1 − (1 − j/(R S))^m)

    Args:
        epsilon: the largest epsilon, of all requests together.
        delta: strictly between 0 and 1.
        requests: the number of requests before the model is trained anew.
        size: the examples of each request.
        work: the largest share of a training that one request may repeat, from 0 to 1.
        public: there are public data of the same kind, on which an extractor of features can be trained.
        examples: the number of training examples, for the sizes of batches.

    Raises: BadInput for numbers out of range.
    """
    positive(epsilon=epsilon)
    share(delta=delta)
    whole(requests=requests, size=size, examples=examples)
    proportion(work=work)
    return chosen(epsilon, delta, requests, size, work, public, measured(), examples)


def chosen(
    epsilon: float,
    delta: float,
    requests: int,
    size: int,
    work: float,
    public: bool,
    facts: dict[str, Any],
    examples: int = 60_000,
) -> Advice:
    """`advise` by the accuracies of `facts`, which have the entries of measured.json."""
    ways = Question(epsilon, delta, requests, size, work, facts, examples).ways(public)
    best = sorted(ways, key=lambda way: (not way.fits, -(way.accuracy or (0.0,))[0]))
    return Advice(
        ways=tuple(best),
        epsilon=epsilon,
        delta=delta,
        requests=requests,
        size=size,
        work=work,
        source=facts["source"],
    )
