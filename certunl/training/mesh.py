"""The devices over which work is spread: one setting, `use_mesh`, and arrays placed on them and fetched from them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from certunl.errors import BadInput

__all__ = ["Device", "Worker", "check_on_device", "fetched", "home_of", "in_force", "leave_mesh", "manual_axis"]
__all__ += ["own_devices", "together", "use_mesh"]

Device = Any
"""One of `jax.devices()`."""


@dataclass(frozen=True)
class Worker:
    """A device, or several that compute each block of work together.

    Args:
        devices: the devices. They may belong to several processes of `jax.distributed`. Then each process makes the
            same calls in the same order.
        rule: how parameters lie in parts on the devices, as `use_mesh` takes it. None: a copy on each device.
    """

    devices: tuple[Device, ...]
    rule: Any = None

    def __post_init__(self) -> None:
        if not (self.rule in (None, "sharded") or callable(self.rule)):
            raise BadInput(f'parameters must be "sharded" or a rule (path, leaf) -> PartitionSpec, got {self.rule!r}')

    def __len__(self) -> int:
        return len(self.devices)

    @property
    def local(self) -> bool:
        """Whether all devices belong to this process."""
        return all(device.process_index == jax.process_index() for device in self.devices)

    @property
    def processes(self) -> int:
        """The number of processes to which the devices belong."""
        return len({device.process_index for device in self.devices})

    def copied(self, tree: Any, axis: str) -> Any:
        """`tree` with a copy of every array on every device. `axis` is that of the program which gets it."""
        return _placed(tree, self._sharding(axis, PartitionSpec()), self.local)

    def split(self, tree: Any, axis: str, at: int = 0) -> Any:
        """`tree` with one axis of every array spread evenly over the devices. `axis` is what that axis holds.

        It is the leading axis, or the one of number `at`. Its length is a multiple of the number of devices.
        """
        return _placed(tree, self._sharding(axis, PartitionSpec(*[None] * at, axis)), self.local)

    def shapes(self, tree: Any, axis: str, *, split: bool = False) -> Any:
        """The shapes and types of `copied`, or of `split`, for a program that is compiled and not run."""
        sharding = NamedSharding(self.mesh(axis), PartitionSpec(*([axis] if split else [])))
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), tree)

    def mesh(self, axis: str) -> Mesh:
        """The mesh of the devices with the one axis `axis`."""
        return Mesh(np.asarray(self.devices), (axis,), axis_types=(AxisType.Auto,))

    def _sharding(self, axis: str, spec: PartitionSpec) -> Sharding:
        return SingleDeviceSharding(self.devices[0]) if len(self) == 1 else NamedSharding(self.mesh(axis), spec)


_WORKER: ContextVar[Worker | None] = ContextVar("worker", default=None)


@contextmanager
def use_mesh(
    devices: Sequence[Device] | Mesh | None = None,
    *,
    parameters: str | Callable[[str, Any], PartitionSpec] | None = None,
) -> Iterator[Mesh]:
    """A context manager in which one call works on several devices.

    The units of statistics, the models of an ensemble, the chains of LiSSA, and the examples of a sum over all the data
    (conjugate gradients, residuals) are spread over the devices. So is each batch for one vector or one attribution.
    Each sum over the data or a batch ends in one reduction, the chains meet once at their end, and units, models and
    several adjoint queries need no exchange. A number that the devices do not divide is filled up. Results lie on
    the device of the run's parameters, and agree with those of one device up to rounding.

    Args:
        devices: the devices, or a mesh of them. Default: all devices of all processes. Pretended devices of a CPU
            (JAX_NUM_CPU_DEVICES=8) serve too. They are devices of this process alone, or some of every process.
        parameters: "sharded" for a model that is too large for one device. Training, rows, one vector, retraining and
            Newton steps then keep parameters, optimizer's memory and rows in parts (`placing.by_size`), and spread
            nothing else. Or a rule (path, leaf) -> PartitionSpec, with a path such as "Dense_0/kernel" and the axis
            name "devices". Default: a copy on each device.

    Raises: BadInput for no device, for one device twice, for devices of different platforms, and for devices that leave
    out one of several processes.

    >>> import jax, certunl as cu
    >>> with cu.use_mesh(jax.devices()[:1]) as mesh:
    ...     mesh.size
    1
    """
    if isinstance(devices, Mesh):
        devices = tuple(devices.devices.flat)
    elif not isinstance(devices, Sequence | np.ndarray | None):
        raise BadInput(f"use_mesh needs devices of jax.devices(), or a mesh of them, got {devices!r}")
    chosen = tuple(jax.devices() if devices is None else devices)
    if not chosen or not all(isinstance(device, jax.Device) for device in chosen):
        raise BadInput(f"use_mesh needs devices of jax.devices(), or a mesh of them, got {devices!r}")
    if len(set(chosen)) < len(chosen) or len({device.platform for device in chosen}) > 1:
        raise BadInput(f"use_mesh needs different devices of one platform, got {list(map(str, chosen))}")
    worker = Worker(chosen, parameters)
    if parameters is not None and not worker.local:
        raise BadInput("parameters in parts need devices of this process alone: use_mesh(jax.local_devices(), ...)")
    if not worker.local and worker.processes != jax.process_count():
        raise BadInput("use_mesh needs devices of this process alone, or at least one of every process")
    token = _WORKER.set(worker)
    try:
        yield worker.mesh("devices")
    finally:
        _WORKER.reset(token)


@contextmanager
def own_devices() -> Iterator[None]:
    """A context manager in which this process works alone, with its own devices, whatever `use_mesh` says."""
    token = _WORKER.set(Worker(()))
    try:
        yield
    finally:
        _WORKER.reset(token)


def leave_mesh() -> None:
    """From here on this process works alone, outside `use_mesh`."""
    _WORKER.set(Worker(()))


def together() -> int:
    """The number of processes that work on each call together."""
    worker = in_force()
    return 1 if worker is None else worker.processes


def in_force() -> Worker | None:
    """The devices of the `use_mesh` around this call; those of all processes if there are several; or None."""
    worker = _WORKER.get()
    if worker is None and jax.process_count() > 1:
        return Worker(tuple(jax.devices()))
    return worker if worker is not None and len(worker) else None


def manual_axis() -> tuple[str, int]:
    """(name, size) of the axis of the shard_map that is being traced; ("", 1) elsewhere."""
    mesh = jax.sharding.get_abstract_mesh()
    return (mesh.axis_names[0], mesh.size) if mesh.axis_types == (AxisType.Manual,) else ("", 1)


def check_on_device(data: Any, worker: Worker) -> None:
    """Raises BadInput for a Dataset whose inputs stay on the host, if `worker` has several devices."""
    if len(worker) > 1 and data.on_host:
        raise BadInput("inputs on the host (OnHost) reach one device; leave use_mesh, or give arrays of the device")


def home_of(tree: Any) -> Device:
    """The first device of this process that holds the arrays of `tree`."""
    leaf = next((leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)), None)
    mine = [] if leaf is None else [device for device in leaf.devices() if device.process_index == jax.process_index()]
    return min(mine, key=lambda device: device.id, default=jax.local_devices()[0])


def fetched(tree: Any, home: Device) -> Any:
    """`tree` with every array whole on the device `home` of this process."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if not leaf.is_fully_addressable]
    if leaves:  # a program of all processes, which exchanges the parts
        mesh = leaves[0].sharding.mesh
        tree = _everywhere(tree, NamedSharding(mesh, PartitionSpec()))
        tree = jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
    return jax.device_put(tree, home)


@partial(jax.jit, static_argnames="sharding")
def _everywhere(tree: Any, sharding: Sharding) -> Any:
    return jax.lax.with_sharding_constraint(tree, sharding)


def _placed(tree: Any, sharding: Sharding, local: bool) -> Any:
    if local:
        return jax.device_put(tree, sharding)

    def one(leaf: Any) -> Any:
        # every process has the whole array, and gives its devices their parts of it
        key = isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        whole = np.asarray(jax.random.key_data(leaf) if key else leaf)
        spread = jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
        return jax.random.wrap_key_data(spread, impl=jax.random.key_impl(leaf)) if key else spread

    return jax.tree.map(one, tree)
