"""Examples: inputs, targets and owners, and the checks of what a user brings."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding

from certunl.errors import BadInput
from certunl.training.arrays import as_array, check_kind, check_numbers
from certunl.training.host import OnHost
from certunl.training.marks import taken
from certunl.training.memory import check_memory

if TYPE_CHECKING:
    from certunl.training.slot_table import SlotTable

__all__ = ["Dataset", "automatic", "check_data", "end_to_end", "placed", "rowwise"]


@struct.dataclass
class Dataset:
    """n examples. `data[indices]` is again a Dataset, and so is a batch.

    Args:
        x: f[n, ...], the inputs; or a pytree of arrays with the leading axis n, such as a dictionary of tokens and
            masks. Large arrays can stay on the host (`OnHost`).
        y: the targets, classes i32[n] or values f[n, ...].
        owners: i32[n], the number of each example's owner; None if the examples have no owners.
        unchecked: conditions on these data that nobody checked, in words, such as the origin of features. Every
            certificate names them, and none is PROVED.
        slots: of the features of an extractor that learnt from these examples with noise, the slots that they took.
            Certificates count them.
        ids: i32[b], the number of each example, in the batches of a training with random losses; otherwise None.
        keys: key[b], one key for each example and step, in the same batches; otherwise None.
    """

    x: Any
    y: Any
    owners: Any = None
    unchecked: tuple[str, ...] = struct.field(pytree_node=False, default=())
    slots: "SlotTable | None" = struct.field(pytree_node=False, default=None, kw_only=True)
    ids: Any = None
    keys: Any = None

    def __post_init__(self) -> None:
        for name in ("x", "y", "owners"):
            if isinstance(value := getattr(self, name), list | tuple):
                object.__setattr__(self, name, as_array(value, name))
        words = (self.unchecked,) if isinstance(self.unchecked, str) else tuple(self.unchecked)
        object.__setattr__(self, "unchecked", words)

    def __len__(self) -> int:
        return self.y.shape[0]

    def __getitem__(self, indices: Any) -> "Dataset":
        if isinstance(indices, list | tuple):
            indices = np.asarray(indices)
        if isinstance(indices, Tracer):  # NumPy arrays cannot be indexed by what a program computes
            return jax.tree.map(lambda a: (a if _on_host(a) else jnp.asarray(a))[indices], self, is_leaf=_on_host)
        return jax.tree.map(lambda array: array[indices], self, is_leaf=_on_host)

    def subset(self, rows: Any) -> "Dataset":
        """The examples `rows i[k]`. Inputs on the host stay there."""
        return jax.tree.map(lambda a: a.take(rows) if _on_host(a) else a[rows], self, is_leaf=_on_host)

    @property
    def on_host(self) -> bool:
        """Whether some inputs stay on the host."""
        return any(map(_on_host, jax.tree.leaves(self.x, is_leaf=_on_host)))

    def check(self, name: str = "the data") -> None:
        """Raises BadInput if lengths disagree, there is no example, or an owner or a number is out of range.

        Args:
            name: the name of these data in a message.
        """
        leaves = {label: array for label, array in self._named()}
        for label, array in leaves.items():
            if label != "owners" or not isinstance(array, np.ndarray):
                check_kind(array, f"{label} of {name}")
        for label in ("y", "owners"):
            if _on_host(getattr(self, label)):
                raise BadInput(
                    f"{label} of {name} must be an array in memory; only inputs may stay on the host (OnHost)"
                )
        lengths = {label: np.shape(array)[:1] for label, array in leaves.items()}
        if not any(label.startswith("x") for label in lengths):
            raise BadInput(f"x of {name} holds no array; it must be an array or a tree of arrays, one row per example")
        if len(set(lengths.values())) != 1 or () in lengths.values():
            raise BadInput(
                f"x, y and owners of {name} must have one row per example, got leading shapes "
                + ", ".join(f"{label} {list(length)}" for label, length in lengths.items())
            )
        if len(self) == 0:
            raise BadInput(f"there is no example in {name}; at least one is needed")
        if self.owners is not None:
            _check_owners(np.asarray(self.owners), name)
        for label, array in leaves.items():
            check_numbers(array, f"{label} of {name}")

    def _named(self) -> list[tuple[str, Any]]:
        """The arrays by name: x, or x['mask'] in a tree, then y and owners."""
        inputs = jax.tree_util.tree_leaves_with_path(self.x, is_leaf=lambda leaf: _on_host(leaf) or _foreign(leaf))
        arrays = [(f"x{jax.tree_util.keystr(path)}", leaf) for path, leaf in inputs]
        return [*arrays, ("y", self.y), *([] if self.owners is None else [("owners", self.owners)])]


def check_data(data: Any, name: str = "the data") -> None:
    """Raises BadInput unless `data` is a Dataset that passes its `check`; `name` stands for it in the message."""
    if not isinstance(data, Dataset):
        hint = "; give its .train or its .test" if type(data).__name__ == "Splits" else ""
        raise BadInput(f"{name} must be a Dataset(x, y), got {type(data).__name__}{hint}")
    data.check(name)


def placed(data: Dataset) -> Dataset:
    """`data` as arrays of JAX, `automatic` ones; inputs that stay on the host stay there.

    Raises: BadInput if they are too large.
    """
    new = [leaf for leaf in jax.tree.leaves(data) if isinstance(leaf, np.ndarray)]
    size = sum(leaf.size * jax.dtypes.canonicalize_dtype(leaf.dtype).itemsize for leaf in new)
    check_memory("the data", size, "keep the inputs on the host: Dataset(OnHost(x), y)")
    return automatic(taken(data))


def automatic(tree: Any) -> Any:
    """`tree` with explicit axes of its meshes (`jax.make_mesh`) as automatic ones. Every number stays on its device.

    XLA chooses the sharding of each intermediate value. Explicit axes would ask the model to name it.
    """

    def one(leaf: Any) -> Any:
        place = leaf.sharding if isinstance(leaf, jax.Array) and not isinstance(leaf, Tracer) else None
        if not isinstance(place, NamedSharding) or AxisType.Explicit not in place.mesh.axis_types:
            return leaf
        devices: Any = place.mesh.devices
        mesh = Mesh(devices, place.mesh.axis_names)  # whose axes are automatic
        return jax.device_put(leaf, NamedSharding(mesh, place.spec, memory_kind=place.memory_kind))

    return jax.tree.map(one, tree)


def rowwise(function: Any, x: Any, *others: Any) -> Any:
    """function(array, ...) for every array of the inputs `x` and of `others`, those on the host included."""
    return jax.tree.map(function, x, *others, is_leaf=_on_host)


def end_to_end(a: Any, b: Any) -> Any:
    """The rows of the array `a`, then those of `b`, with the dtype of `a`."""
    if isinstance(a, OnHost):
        return OnHost(np.concatenate([np.asarray(a), np.asarray(b, a.dtype)]))
    return jnp.concatenate([jnp.asarray(a), jnp.asarray(b, a.dtype)])


def _on_host(leaf: Any) -> bool:
    return isinstance(leaf, OnHost)


def _foreign(leaf: Any) -> bool:
    return hasattr(leaf, "toarray")  # a matrix of scipy.sparse


def _check_owners(owners: np.ndarray, name: str) -> None:
    limit = np.iinfo(np.int32).max
    if not (np.issubdtype(owners.dtype, np.integer) and (owners >= 0).all() and (owners <= limit).all()):
        raise BadInput(
            f"owners of {name} must be whole numbers from 0 to {limit}; number other names or ids first with "
            "np.unique(owners, return_inverse=True)"
        )
