"""Frozen features, so that only the last layer of a network is trained, forgets and is certified."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Key, Params, digest
from certunl.errors import BadInput, typed_key
from certunl.models import Headless
from certunl.training.dataset import Dataset, check_data
from certunl.training.host import OnHost
from certunl.training.loop import begin
from certunl.training.modules import Initializer, Supervised, hashable, said
from certunl.training.provenance import known
from certunl.training.row_digests import row_digests, rows_digest
from certunl.training.run import Run
from certunl.training.slot_table import SlotTable, open_questions

__all__ = ["Features"]

_BLOCK = 256
"""Number of rows that are computed at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """x_i -> apply(params, x)_i in R^p with fixed parameters, the features of an example.

        extractor = Features.of(run)                     # a network trained on public data, without its last layer
        problem = classification(models.Linear(bound=1.0), extractor(data))

    There are theorems for a strongly convex head on the features, but none for a whole network. Two assumptions about
    an extractor cannot be checked: that it was made without the examples that may be forgotten, and that it reads one
    example at a time (no batch statistics). Data of its features name both as `unchecked`, so no certificate on them is
    PROVED. Only this is checked: a few rows have the same features alone and among others, and, for `of`, no input is
    identical to an example that the extractor was trained on. `random` with AllCNN, CNN, LeNet5, Linear, MLP or
    ResNet18 of this library leaves nothing unchecked. Features computed elsewhere come as
    `Dataset(x, y, unchecked="...")`.

    A network that was trained with noise gives features of its own training set too. A certificate on them counts its
    training with the head in one account (`bounds.theorems.noisy_features`), and may be PROVED.

    Args:
        apply: the function (params, x f[n, ...]) -> f[n, p] of the extractor.
        params: its parameters.
        origin: how the extractor was made, in words; certificates repeat it.
        seen: digests of the examples it was trained on; the features of these are refused.
        inherited: what the data it was trained on left unchecked.
        slots: of a network that was trained with noise, the slots of its training; None for any other.
        rows: the digest of that training set, row by row.
    """

    apply: Callable[[Params, jax.Array], jax.Array]
    params: Params = None
    origin: str
    seen: frozenset[bytes] = field(default=frozenset(), repr=False)
    inherited: tuple[str, ...] = ()
    slots: SlotTable | None = field(default=None, repr=False)
    rows: str = field(default="", repr=False)
    bound: str = field(default="", init=False, repr=False)  # digest of the parameters and slots of such a training
    fresh: str | None = field(default=None, init=False, repr=False)  # digest of parameters that the code itself drew
    shape: tuple[int, ...] | None = field(default=None, init=False)  # of one input it was made with, if known

    def __post_init__(self) -> None:
        if not (isinstance(self.origin, str) and self.origin.strip()):
            raise BadInput(f"origin must describe in words how the extractor was made, got {self.origin!r}")

    @classmethod
    def of(cls, run: Run) -> "Features":
        """The trained network of `run` without its last layer.

        Raises: BadInput if that is no dense layer, for shards, and for a run with noise that has forgotten someone.
        """
        run.need_one_model("an extractor of features")
        losses, data = run.problem.losses, run.problem.data
        if not isinstance(losses, Supervised):
            raise BadInput(
                "the problem of the run must be classification(...) or regression(...) of a model; otherwise give "
                "Features(apply=...)"
            )
        _check_single(data.x)
        apply, digests, noisy = Headless(losses.model), row_digests(data.x), {}
        params, how = run.problem.whole(run.params), "none of them identical to one of these data"
        if run.noise is not None:
            if not bool(np.all(run.present)):
                raise BadInput("this run has forgotten examples, which its features hold; train it anew without them")
            if data.slots is not None or data.on_host:
                what = "inputs on the host, or features of another network with noise, whose price is not counted"
                raise BadInput(f"this run with noise has {what}; train it on inputs in memory")
            state = jax.tree.structure(begin(run.problem, run.recipe, run.start))
            params = run.problem.whole(state.unflatten(run.noise.states[len(run.schedule)])[0])
            slots = SlotTable.of(run).marked(unchecked=(*open_questions(run), *run.unchecked))
            noisy = {"slots": slots, "rows": rows_digest(digests, data)}
            how = "with noise"
        jax.eval_shape(apply, params, data[np.zeros(1, int)].x)
        extractor = cls(
            apply=apply,
            params=params,
            origin=f"a network trained on {len(data):,} examples, {how}",
            seen=frozenset(digests),
            inherited=run.unchecked,
            **noisy,
        )
        object.__setattr__(extractor, "shape", data.x.shape[1:])
        return extractor.restored()

    def restored(self) -> "Features":
        """The extractor, bound to its parameters and to the slots of their training as they are now."""
        object.__setattr__(self, "bound", "" if self.slots is None else digest(self.rows, self.arrays))
        return self

    @classmethod
    def random(cls, model: Any, key: Key, shape: tuple[int, ...], dtype: Any = "float32") -> "Features":
        """`model` with random parameters, for inputs of `shape`, without its last layer. It depends on no data.

        Raises: BadInput if the model does not take such inputs, or its last layer is no dense layer.
        """
        typed_key(key)
        model = hashable(model)
        apply = Headless(model)
        try:
            params = Initializer.of(model, jax.ShapeDtypeStruct((1, *shape), np.dtype(dtype)))(key)
            jax.eval_shape(apply, params, jnp.zeros((1, *shape), dtype))
        except BadInput:
            raise
        except Exception as error:  # a model can fail in any way
            name = type(model).__name__
            raise BadInput(f"{name} cannot be drawn for inputs of shape {shape}, {dtype} ({said(error)})") from error
        extractor = cls(apply=apply, params=params, origin=f"{type(model).__name__} drawn at random")
        object.__setattr__(extractor, "fresh", digest(None, params) if known(model) else None)
        object.__setattr__(extractor, "shape", tuple(shape))
        return extractor

    def facts(self) -> dict[str, Any]:
        """What is no array, ready for JSON."""
        noisy = {} if self.slots is None else {"slots": self.slots.facts(), "rows": self.rows}
        return {"origin": self.origin, "inherited": self.inherited, **noisy}

    @property
    def arrays(self) -> Params:
        """The parameters, and the slots of a training with noise."""
        return self.params if self.slots is None else (self.params, self.slots.indices)

    @property
    def drawn(self) -> bool:
        """Whether the parameters are the ones that the code drew, to the last bit. They may be written over since."""
        return type(self) is Features and self.fresh is not None and self.fresh == digest(None, self.params)

    @property
    def _whole(self) -> bool:
        """Whether function, parameters and slots are those of one training with noise."""
        own = type(self) is Features and type(self.apply) is Headless and self.slots is not None and self.slots.own
        return own and self.bound == digest(self.rows, self.arrays)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The assumptions about the extractor that are not checked, in words."""
        if self.drawn:
            return self.inherited
        assumption = "was made without the forgotten examples, and reads one example at a time"
        return (*self.inherited, f"the features' extractor ({self.origin}) {assumption}")

    def __call__(self, data: Dataset) -> Dataset:
        """`data` with features f[n, p] as inputs. `unchecked` of the extractor is added to that of the data.

        An extractor that was trained with noise also takes its own training set, as a whole and in its order.

        Raises: BadInput if an input is one that the extractor was trained on, or `features` refuses the inputs.
        """
        check_data(data)
        _check_single(data.x)
        digests, slots = row_digests(data.x) if self.seen or self.rows else [], None
        own = bool(self.rows) and self.rows == rows_digest(digests, data)
        repeated = [i for i, digest in enumerate(digests) if digest in self.seen]
        if repeated and not own:
            whole = ", or give its training set as it was, with the same targets and owners" if self.rows else ""
            raise BadInput(
                f"{len(repeated)} of {len(data)} examples (first: {repeated[0]}) are among those the extractor was "
                f"trained on, so it would remember them when the head forgets them; leave them out{whole}"
            )
        unchecked, x = tuple(dict.fromkeys((*data.unchecked, *self.unchecked))), self.features(data.x)
        before = (*data.unchecked, *self.inherited)
        if own and self.slots is not None and self._whole and self.unchecked[-1] not in before:
            x = x.astype(jax.dtypes.canonicalize_dtype(x.dtype))
            slots = self.slots.marked(features=digest(None, x), condition=self.unchecked[-1])
        return replace(data, x=x, unchecked=unchecked, slots=slots)

    def features(self, x: Any) -> np.ndarray:
        """The features f[n, p] of x f[n, ...], computed in blocks by one compiled program.

        Raises: BadInput if they are not one finite vector per example, or if those of a row alone are different.
        """
        _check_single(x)
        x = x if isinstance(x, OnHost) else np.asarray(x)
        if not (x.ndim and x.size):
            raise BadInput(f"inputs must be f[n, ...] with n at least one; got shape {list(x.shape)}")
        size = min(_BLOCK, 1 << (len(x) - 1).bit_length())  # a power of two, so that few programs are compiled
        try:
            output = jax.eval_shape(self.apply, self.params, _filled(x[:1], size))
        except BadInput:
            raise
        except Exception as error:  # the user's function can fail in any way
            other = self.shape not in (None, x.shape[1:])
            why = f"it was made with inputs of shape {list(self.shape or ())}" if other else said(error)
            raise BadInput(f"the extractor does not take inputs of shape {list(x.shape[1:])}: {why}") from error
        if getattr(output, "shape", ())[:1] != (size,) or not jnp.issubdtype(output.dtype, jnp.floating):
            raise BadInput(
                f"an extractor must give one vector of real numbers per example, got {output} for {size} examples"
            )
        rows = np.concatenate([self._block(x[i : i + size], size) for i in range(0, len(x), size)])
        if bad := int((~np.isfinite(rows)).any(axis=1).sum()):
            raise BadInput(
                f"the features of {bad} of {len(x)} examples are not finite; correct the extractor or the inputs"
            )
        tolerance = float(np.sqrt(jnp.finfo(rows.dtype).eps))
        for i in {0, len(x) // 2, len(x) - 1}:
            alone, among = np.asarray(self._block(x[i : i + 1], size)[0], float), np.asarray(rows[i], float)
            if np.linalg.norm(alone - among) > tolerance * np.linalg.norm(among):
                raise BadInput(
                    f"example {i} has other features alone than among other examples; an extractor must read one "
                    "example at a time, so fix batch statistics (models.Frozen)"
                )
        return rows

    def _block(self, x: np.ndarray, size: int) -> np.ndarray:
        """The features of at most `size` rows. Copies of the last row fill the block."""
        return np.asarray(_compiled(self.apply, self.params, _filled(x, size)))[: len(x)]


@partial(jax.jit, static_argnames="apply")
def _compiled(apply: Any, params: Params, x: jax.Array) -> jax.Array:
    with jax.default_matmul_precision("highest"):
        return apply(params, x).reshape(x.shape[0], -1)


def _filled(x: np.ndarray, size: int) -> jax.Array:
    """x with copies of its last row, `size` rows in all."""
    return jnp.asarray(np.concatenate([x, np.repeat(x[-1:], size - len(x), axis=0)]))


def _check_single(x: Any) -> None:
    """Raises BadInput for a tree of arrays."""
    if isinstance(x, dict | list | tuple):
        raise BadInput("features are made of inputs that are a single array; put a tree of arrays into one first")
