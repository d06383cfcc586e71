"""What an attacker holds, and the contract of an attack."""

from typing import Any, ClassVar, Protocol

import jax
from flax import struct

from certunl.base import Key, Params
from certunl.training.problem import Scores

__all__ = ["Attack", "Shadows", "Target"]


@struct.dataclass
class Shadows:
    """s models that the attacker trained: `inside bool[s, m]`, which of m candidates each has seen; `margins f[s, m]`
    and `likelihoods f[s, m]` (their logarithms) of each candidate under each."""

    inside: jax.Array
    margins: jax.Array
    likelihoods: jax.Array


@struct.dataclass
class Target:
    """A model under attack and what the attacker holds.

    Of m `candidates` half are forgotten examples, `member bool[m]`: an attack may learn from some of these bits, and
    then gives the others' scores only. `run` is the trained model before anything was forgotten, `params` the judged
    one; `original`, `scores` what they give the candidates; `shadows` are models trained on random halves of the
    candidates, `unlearned` the same after forgetting these halves as the judged one forgot (None where there are none).
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
    """Settings of one way to tell who was in. `needs`: "model", "shadows" or "unlearned", what of the target it uses.

    The call gives f[m], higher for «was in», NaN where an attack learnt from that candidate's bit.
    """

    needs: ClassVar[str]

    def __call__(self, target: Target, key: Key) -> Any: ...
