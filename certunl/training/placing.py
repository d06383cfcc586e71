"""Where the parameters of a large model lie: in parts on several devices, leaf by leaf, as a rule says."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from certunl.base import Key, Params
from certunl.errors import BadInput
from certunl.training.dataset import Dataset, automatic
from certunl.training.mesh import Device, Worker, check_on_device, in_force

if TYPE_CHECKING:
    from certunl.training.run import Run

__all__ = ["across", "beside", "by_size", "devices_of", "in_parts", "initial", "like", "spread_out"]
__all__ += ["shapes", "spread_run"]

_WHOLE = 1024
"""A leaf of fewer numbers stays whole by default, because its exchange takes longer than its sum."""


def by_size(path: str, leaf: Any, devices: int) -> PartitionSpec:
    """The default rule: the largest axis that the number of devices divides is in parts, the first one among equals.

    A leaf of fewer than 1,024 numbers stays whole, and so does one without such an axis.

    >>> by_size("Dense_0/kernel", jax.ShapeDtypeStruct((784, 256), "float32"), 8)
    P('devices',)
    """
    axes = [axis for axis, length in enumerate(leaf.shape) if length % devices == 0]
    if leaf.size < _WHOLE or not axes:
        return PartitionSpec()
    axis = max(axes, key=lambda axis: leaf.shape[axis])
    return PartitionSpec(*[None] * axis, "devices")


def across(worker: Worker) -> int:
    """The number of devices over which units are spread: 1 where the devices share the parameters instead."""
    return len(worker) if worker.rule is None else 1


def in_parts(tree: Params) -> bool:
    """Whether some array of `tree` lies in parts on several devices."""
    leaves = (leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array))
    return any(not leaf.sharding.is_fully_replicated for leaf in leaves)


def devices_of(tree: Params) -> tuple[Device, ...]:
    """The devices of this process that hold parts of `tree`, in the order of their ids."""
    leaves = (leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array))
    devices = {device for leaf in leaves for device in leaf.sharding.addressable_devices}
    return tuple(sorted(devices, key=lambda device: device.id))


def spread_out(params: Params, data: Dataset | None = None) -> Params:
    """`params` in parts on the devices of `use_mesh`, if its `parameters` ask for it.

    Parameters that lie in parts already stay where they are. Others than arrays are returned as they are.
    Raises: BadInput for a rule that does not fit a leaf, and for `data` whose inputs stay on the host.
    """
    worker, params = in_force(), automatic(params)
    arrays = all(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(params))
    if worker is None or worker.rule is None or not arrays:
        return params
    if data is not None:
        check_on_device(data, worker)
    return params if in_parts(params) else jax.device_put(params, _shardings(params, worker))


def beside(data: Dataset, params: Params) -> Dataset:
    """`data` with a copy on every device of `params`, if these lie in parts. Data on several devices stay there."""
    leaves = jax.tree.leaves(params) if in_parts(params) else []
    places = [leaf.sharding for leaf in leaves if isinstance(leaf, jax.Array)]
    meshes = [place.mesh for place in places if isinstance(place, NamedSharding)]
    if not meshes:
        return data
    place = NamedSharding(meshes[0], PartitionSpec())

    def one(leaf: Any) -> Any:
        return jax.device_put(leaf, place) if isinstance(leaf, jax.Array) and len(leaf.devices()) == 1 else leaf

    return jax.tree.map(one, data)


def spread_run(run: "Run") -> "Run":
    """`run` with start and parameters as `spread_out` places them, and its data beside them."""
    data = run.problem.data
    start, params = spread_out(run.start, data), spread_out(run.params, data)
    return replace(run, problem=replace(run.problem, data=beside(data, start)), start=start, params=params)


def shapes(run: "Run", worker: Worker, axis: str) -> "Run":
    """The shapes and types of `run` on `worker`, for a program that is compiled and not run.

    Its parameters are in parts if `worker.rule` says so. Then `axis` is "devices".
    Raises: BadInput for a rule that does not fit a leaf.
    """
    copies = worker.shapes(run, axis)
    if worker.rule is None:
        return copies

    def parts(params: Params) -> Params:
        places = _shardings(params, worker)
        return jax.tree.map(lambda p, at: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=at), params, places)

    return replace(copies, start=parts(run.start), params=parts(run.params))


def initial(init: Callable[[Key], Params], key: Key) -> Params:
    """init(key), which no device computes whole if the `parameters` of `use_mesh` ask for parts."""
    worker = in_force()
    if worker is None or worker.rule is None:
        return init(key)
    places = _shardings(jax.eval_shape(init, key), worker)
    return jax.jit(init, out_shardings=places)(key)


def _shardings(params: Params, worker: Worker) -> Params:
    """The sharding of each leaf by the rule of `worker`. Raises: BadInput for a rule that does not fit a leaf."""
    mesh, rule = worker.mesh("devices"), worker.rule

    def one(path: Any, leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        spec = by_size(name, leaf, len(worker)) if rule == "sharded" else rule(name, leaf)
        try:
            place = NamedSharding(mesh, spec)
            place.shard_shape(leaf.shape)
        except (AttributeError, TypeError, ValueError) as error:
            raise BadInput(
                f"parameters= of use_mesh gives {name!r} of shape {list(leaf.shape)} the place {spec!r}; give a "
                f'PartitionSpec whose only name is "devices", on an axis that {len(worker)} divides'
            ) from error
        return place

    return jax.tree_util.tree_map_with_path(one, params)


def like(params: Params, other: Params) -> Params:
    """`params` where the leaves of `other` lie, if one of the two lies on several devices.

    The partitioner may choose other devices. A leaf of `other` that nobody placed lets `params` stay where the data
    are, with a copy on each device.
    """

    def one(leaf: Any, at: Any) -> Any:
        if not (isinstance(leaf, jax.Array) and isinstance(at, jax.Array)):
            return leaf
        if max(len(leaf.devices()), len(at.devices())) == 1:
            return leaf
        theirs: Any = leaf.sharding
        return jax.device_put(leaf, at.sharding if at.committed else NamedSharding(theirs.mesh, PartitionSpec()))

    return jax.tree.map(one, params, other)
