"""Frozen features: a network that is public, whose last layer alone is learnt, forgets and is certified."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key, Params
from certunl.errors import BadInput
from certunl.models import CNN, MLP, AllCNN, Headless, Linear, ResNet18
from certunl.training.problem import Dataset
from certunl.training.run import Run
from certunl.training.supervised import Initializer, Supervised, hashable, said

__all__ = ["Features"]

_BLOCK = 256
"""Rows computed at once."""

_KNOWN = (AllCNN, CNN, Linear, MLP, ResNet18)
"""Models whose initial parameters are drawn from the key alone, and which look at one example at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """x_i -> apply(params, x)_i in R^p, held fixed: a strongly convex head on them has a theorem, a network has none.

        extractor = Features.of(run)                     # a network trained on public data, without its last layer
        problem = classification(models.Linear(bound=1.0), extractor(data))

    `origin` says how the extractor was made. That it was made without the examples that may be forgotten, and looks at
    one example at a time (no batch statistics), is taken from whoever gives it: data of its features name both as
    `unchecked`, and no certificate on them is PROVED. Checked are a few rows alone against themselves among others and,
    for `of`, that no input is one of those it was trained on (identical ones only). `random` with a model of this
    library leaves nothing open. Features computed elsewhere come as `Dataset(x, y, unchecked="...")`.
    """

    apply: Callable[[Params, jax.Array], jax.Array]
    params: Params = None
    origin: str
    seen: frozenset[bytes] = field(default=frozenset(), repr=False)
    inherited: tuple[str, ...] = ()
    drawn: bool = field(default=False, init=False)  # only the code may say so: it is no argument
    shape: tuple[int, ...] | None = field(default=None, init=False)  # of an input it was made with, where known

    def __post_init__(self) -> None:
        if not (isinstance(self.origin, str) and self.origin.strip()):
            raise BadInput(f"origin must say in words how the extractor was made, got {self.origin!r}")

    @classmethod
    def of(cls, run: Run) -> "Features":
        """The network of `run` as it is now, without its last layer. Raises: BadInput where that is no dense layer."""
        losses, data = run.problem.losses, run.problem.data
        if not isinstance(losses, Supervised):
            raise BadInput(
                "features come of classification(...) or regression(...) of a model; else give Features(apply=...)"
            )
        apply = Headless(losses.model)
        jax.eval_shape(apply, run.params, data.x[:1])
        made = cls(
            apply=apply,
            params=run.params,
            origin=f"a network trained on {len(data):,} examples, none of them identical to one of these",
            seen=frozenset(_digests(data.x)),
            inherited=run.problem.unchecked,
        )
        object.__setattr__(made, "shape", data.x.shape[1:])
        return made

    @classmethod
    def random(cls, model: Any, key: Key, shape: tuple[int, ...], dtype: Any = "float32") -> "Features":
        """`model` for inputs of `shape`, its parameters drawn, without its last layer: depends on nobody's data.

        Raises: BadInput where it does not take such inputs, or its last layer is no dense one.
        """
        model = hashable(model)
        apply = Headless(model)
        try:
            params = Initializer(model, tuple(shape), str(np.dtype(dtype)))(key)
            jax.eval_shape(apply, params, jnp.zeros((1, *shape), dtype))
        except BadInput:
            raise
        except Exception as error:  # a model can fail in any way
            name = type(model).__name__
            raise BadInput(f"{name} cannot be drawn for inputs of shape {shape}, {dtype} ({said(error)})") from error
        made = cls(apply=apply, params=params, origin=f"{type(model).__name__} drawn at random")
        object.__setattr__(made, "drawn", type(model) in _KNOWN)
        object.__setattr__(made, "shape", tuple(shape))
        return made

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What its features take for granted, in words."""
        if self.drawn:
            return self.inherited
        rests = "was made without the forgotten examples, and looks at one at a time"
        return (*self.inherited, f"the features' extractor ({self.origin}) {rests}")

    def __call__(self, data: Dataset) -> Dataset:
        """`data` with features f[n, p] for inputs; targets and owners as they are, `unchecked` as above.

        Raises: BadInput where an input is one of those the extractor was trained on, and as `features` does.
        """
        data.check()
        again = [i for i, told in enumerate(_digests(data.x)) if told in self.seen] if self.seen else []
        if again:
            raise BadInput(
                f"{len(again)} of {len(data)} examples (first: {again[0]}) are among those the extractor was trained "
                "on: that the head forgets them would mean nothing; leave them out"
            )
        unchecked = tuple(dict.fromkeys((*data.unchecked, *self.unchecked)))
        return replace(data, x=self.features(data.x), unchecked=unchecked)

    def features(self, x: Any) -> np.ndarray:
        """f[n, p] of x f[n, ...], in blocks of one compiled program.

        Raises: BadInput where they are not one finite vector per example, or differ when a row is computed by itself.
        """
        x = np.asarray(x)
        if not (x.ndim and x.size):
            raise BadInput(f"features are of inputs f[n, ...], at least one; got shape {list(x.shape)}")
        size = min(_BLOCK, 1 << (len(x) - 1).bit_length())
        try:
            got = jax.eval_shape(self.apply, self.params, _filled(x[:1], size))
        except BadInput:
            raise
        except Exception as error:  # a function of the user's own can fail in any way
            other = self.shape not in (None, x.shape[1:])
            why = f"it was made with inputs of shape {list(self.shape or ())}" if other else said(error)
            raise BadInput(f"the extractor does not take inputs of shape {list(x.shape[1:])}: {why}") from error
        if getattr(got, "shape", ())[:1] != (size,) or not jnp.issubdtype(got.dtype, jnp.floating):
            raise BadInput(
                f"an extractor must give one vector of real numbers per example, got {got} for {size} examples"
            )
        found = np.concatenate([self._block(x[i : i + size], size) for i in range(0, len(x), size)])
        if bad := int((~np.isfinite(found)).any(axis=1).sum()):
            raise BadInput(
                f"the features of {bad} of {len(x)} examples are not finite; mend the extractor or the inputs"
            )
        tolerance = float(np.sqrt(jnp.finfo(found.dtype).eps))
        for i in {0, len(x) // 2, len(x) - 1}:
            alone, among = np.asarray(self._block(x[i : i + 1], size)[0], float), np.asarray(found[i], float)
            if np.linalg.norm(alone - among) > tolerance * np.linalg.norm(among):
                raise BadInput(
                    f"the features of example {i} alone are not those it has among others: an extractor must look at "
                    "one example at a time; hold batch statistics fixed (models.Frozen)"
                )
        return found

    def _block(self, x: np.ndarray, size: int) -> np.ndarray:
        """The features of at most `size` rows; copies of the last row fill up."""
        return np.asarray(_compiled(self.apply, self.params, _filled(x, size)))[: len(x)]


@partial(jax.jit, static_argnames="apply")
def _compiled(apply: Any, params: Params, x: jax.Array) -> jax.Array:
    with jax.default_matmul_precision("highest"):
        return apply(params, x).reshape(x.shape[0], -1)


def _filled(x: np.ndarray, size: int) -> jax.Array:
    return jnp.asarray(np.concatenate([x, np.repeat(x[-1:], size - len(x), axis=0)]))


def _digests(x: Any) -> list[bytes]:
    """128 bits of each row, as float32."""
    rows = np.asarray(x).astype(np.float32).reshape(len(x), -1) + 0.0  # one zero
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
