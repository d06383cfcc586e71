"""Parameters that other programs wrote: orbax, flax msgpack, safetensors and NumPy."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from certunl.base import Params, named
from certunl.disk import write_bytes
from certunl.errors import BadInput
from certunl.folders.arrays import load_arrays

__all__ = ["read_params", "tensors", "write_tensors"]

_TABLES = {"resnet18_torchvision": Path(__file__).with_name("resnet18_torchvision.json")}


def read_params(path: Any, like: Params = None, names: Any = None) -> Params:
    """The parameters in a file or folder, as nested dictionaries of NumPy arrays, ready for `adopt`.

    It reads a folder of an orbax checkpoint, and files .msgpack (`flax.serialization.to_bytes`), .safetensors and .npz.
    Names in .safetensors and .npz are split at "/", and at "." if they have no "/".

    A name that ends in "weight" and becomes a "kernel" is turned from PyTorch's layout into Flax's: O, I, H, W becomes
    H, W, I, O, and the matrix of a dense layer is transposed. All other arrays stay as they are. The module must also
    pad as PyTorch does, which Flax's padding "SAME" with a stride does not.

    Args:
        path: the file or folder.
        like: a pytree of the parameters that are wanted, such as `problem.init(key)`. The result has its structure, and
            a larger checkpoint may hold more. Default: everything in the file.
        names: {name here: name in the file}, such as {"Dense_0/kernel": "fc.weight"}; or the path of a JSON file with
            such a table; or "resnet18_torchvision", torchvision's ResNet-18 as {"params": ..., "batch_stats": ...} in
            the names of the ResNet18 of Flax's examples. `models.Frozen` takes the batch_stats. Default: names as they
            are in the file.

    Raises: BadInput if the file cannot be read, if it lacks a name, or if a shape is not that of `like`.
    """
    place = Path(path)
    arrays = _read(place)
    if names is not None:
        table = _table(names)
        if missing := [theirs for theirs in table.values() if theirs not in arrays]:
            raise BadInput(f"{place} has no {missing[0]!r}; it has {_few(arrays)}")
        arrays = {mine: _turned(mine, theirs, arrays[theirs]) for mine, theirs in table.items()}
    if like is None:
        return _nested(arrays)
    leaves = []
    for name, leaf in named(like).items():
        array = next((arrays[key] for key in (name, f"params/{name}") if key in arrays), None)
        if array is None:
            raise BadInput(
                f"{place} has no {name!r}; it has {_few(arrays)}; give names={{name here: name in the file}}"
            )
        if np.shape(array) != np.shape(leaf):
            raise BadInput(f"{name} of {place} has the shape {list(np.shape(array))}, expected {list(np.shape(leaf))}")
        leaves.append(array)
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def write_tensors(path: Path, params: Params, facts: dict[str, Any]) -> None:
    """Writes a .safetensors file whole, with names such as "Dense_0/kernel" and `facts` as its metadata."""
    _check_installed()
    import safetensors.numpy

    arrays = {name: np.ascontiguousarray(leaf) for name, leaf in named(params).items()}
    metadata = {"certunl": json.dumps(facts, allow_nan=False)}
    write_bytes(path, safetensors.numpy.save(arrays, metadata=metadata))


def tensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file by name, bfloat16 included, which the library's reader for NumPy lacks."""
    _check_installed()
    import safetensors

    parts = safetensors.deserialize(path.read_bytes())
    return {name: np.frombuffer(part["data"], _DTYPES[part["dtype"]]).reshape(part["shape"]) for name, part in parts}


_DTYPES = {"BF16": jnp.bfloat16, "F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "?", "U8": "u1", "I8": "i1"}
_DTYPES |= {"U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8"}


def _check_installed() -> None:
    """Raises BadInput if safetensors is not installed."""
    if importlib.util.find_spec("safetensors") is None:
        raise BadInput("safetensors is not installed; install it with: pip install 'certunl[safetensors]'")


def _read(place: Path) -> dict[str, Any]:
    """The arrays of a file or folder, by name."""
    if not place.exists():
        raise BadInput(f"there is no {place}; give the folder of an orbax checkpoint, or a file")
    if place.is_dir():
        # orbax's managers put the arrays of a step into a folder `default`
        inner = place / "default"
        return named(load_arrays(_checkpoint(inner if inner.is_dir() else place)))
    readers = {".npz": _npz, ".msgpack": _msgpack, ".safetensors": tensors}
    if place.suffix not in readers:
        raise BadInput(f"{place} must end in {', '.join(readers)} or be the folder of an orbax checkpoint")
    try:
        return readers[place.suffix](place)
    except BadInput:
        raise
    except Exception as error:  # each library raises its own for damaged files
        raise BadInput(f"{place} cannot be read as {place.suffix} ({type(error).__name__}); write it again") from error


def _checkpoint(place: Path) -> Path:
    """`place`, if it is the folder of one checkpoint. Raises: BadInput that names the folders inside which may be."""
    if any((place / name).exists() for name in ("_METADATA", "manifest.ocdbt", ".zarray")):
        return place
    inner = sorted(path.name for path in place.iterdir() if path.is_dir())
    steps = f"; it has {', '.join(inner[:10])}: give one of them" if inner else ""
    raise BadInput(f"{place} is no checkpoint of orbax{steps}")


def _npz(place: Path) -> dict[str, np.ndarray]:
    with np.load(place, allow_pickle=False) as file:
        return dict(file)


def _msgpack(place: Path) -> dict[str, Any]:
    from flax import serialization

    return named(serialization.msgpack_restore(place.read_bytes()))


def _table(names: Any) -> dict[str, str]:
    """The table {name here: name in the file}."""
    if isinstance(names, Mapping):
        return dict(names)
    place = _TABLES.get(str(names), Path(str(names)))
    try:
        table = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError):
        raise BadInput(
            f"names must be a table {{name here: name in the file}}, the path of its JSON file, or "
            f"{', '.join(_TABLES)}, got {names!r}"
        ) from None
    if not (isinstance(table, dict) and all(isinstance(value, str) for value in table.values())):
        raise BadInput(f"{place} must hold a JSON table {{name here: name in the file}}")
    return table


def _turned(mine: str, theirs: str, array: Any) -> np.ndarray:
    """`array` in Flax's layout if it is a PyTorch weight."""
    array = np.asarray(array)
    if mine.rpartition("/")[2] != "kernel" or theirs.replace("/", ".").rpartition(".")[2] != "weight" or array.ndim < 2:
        return array
    return np.transpose(array, (*range(2, array.ndim), 1, 0))


def _nested(arrays: Mapping[str, Any]) -> Params:
    """{"a/b": array} as {"a": {"b": array}}."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *folders, last = name.split("/" if "/" in name else ".")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
            if not isinstance(branch, dict):
                raise BadInput(f"{name!r} lies below {folder!r}, which is an array itself; give names= for the file")
        branch[last] = array
    return tree


def _few(arrays: Mapping[str, Any]) -> str:
    return ", ".join(list(arrays)[:4]) + (" ..." if len(arrays) > 4 else "")
