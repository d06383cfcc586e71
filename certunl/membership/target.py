"""The knowledge of an attacker, and the contract of an attack."""

from typing import Any, ClassVar, Protocol

import jax
from flax import struct

from certunl.base import Key, Params
from certunl.training.problem import Scores

__all__ = ["Attack", "Shadows", "Target"]


@struct.dataclass
class Shadows:
    """The results of s shadow models, which the attacker trained, on m candidates.

    Args:
        inside: bool[s, m], whether a model was trained on a candidate.
        margins: f[s, m], the margin of each candidate (`Scores.margins`).
        likelihoods: f[s, m], the logarithm of the likelihood of each candidate (`Scores.likelihoods`).
    """

    inside: jax.Array
    margins: jax.Array
    likelihoods: jax.Array


@struct.dataclass
class Target:
    """A model under attack and the knowledge of the attacker.

    Args:
        run: the training run before the request.
        params: the parameters of the model under attack.
        candidates: m examples, half of them forgotten ones.
        member: bool[m], whether a candidate is a forgotten example. An attack may learn from some of these bits. It
            then gives scores only for the other candidates.
        original: the scores of the original model on the candidates.
        scores: the scores of the model under attack on the candidates.
        shadows: models trained on random halves of the candidates. Default: none.
        unlearned: these models after they forgot their halves by the method of the model under attack. Default: none.
    """

    run: Any
    params: Params
    candidates: Any
    member: jax.Array
    original: Scores
    scores: Scores
    shadows: Shadows | None = None
    unlearned: Shadows | None = None


class Attack(Protocol):
    """The settings of one attack. `needs` is "model", "shadows" or "unlearned", the part of the target that it uses.

    The call gives the scores f[m], higher for members, and NaN for a candidate whose bit the attack learnt from.
    """

    needs: ClassVar[str]

    def __call__(self, target: Target, key: Key) -> Any: ...
