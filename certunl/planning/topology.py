"""What the programs of a run would take on TPUs that are not here: libtpu compiles for them on any Linux machine."""

import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from certunl.errors import BadInput, Unavailable
from certunl.methods.newton import Newton
from certunl.planning.costs import step_flops
from certunl.rows.gathering import tracked
from certunl.timing import Stopwatch
from certunl.training import sensitivity
from certunl.training.loop import follow
from certunl.training.mesh import Worker, check_on_device
from certunl.training.placing import across, shapes
from certunl.training.run import Run
from certunl.training.workers import chunk_size, unit_bytes

__all__ = ["Forecast", "Program", "forecast"]

_NO_CLOUD = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
}
"""What libtpu would ask a cloud for. The type is not used: each forecast names its own topology."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program as the compiler laid it out for one chip.

    Args:
        gives: the result, in words.
        memory: bytes on each chip: inputs, outputs and intermediate values.
        flops: floating-point operations on each chip; None where the number of steps is not known before, and for
            parameters in parts.
        seconds: the time of tracing and compiling on this machine.
        collectives: the number of operations in which chips meet; None where the compiler cannot show its program.
    """

    gives: str
    memory: int
    flops: float | None
    seconds: float
    collectives: int | None


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run takes on a topology. `print` shows it as a table.

    Args:
        topology: the name, such as "v5e:2x4".
        chips: the number of chips.
        hbm: the bytes of memory that a program may use on one chip, as the compiler says.
        programs: "training", "rows" and "newton".
        units: the number of units on each chip in the program "rows", which `chunk_size` chooses.
        estimated: the bytes that `chunk_size` reckons with for these units on one chip.
        largest: the number of units on one chip whose rows, or parts of rows, still fit, from the memory of two
            programs.
    """

    topology: str
    chips: int
    hbm: int
    programs: dict[str, Program]
    units: int
    estimated: int
    largest: int

    def __str__(self) -> str:
        lines = [f"{'program':<10}{'gives':<42}{'MiB a chip':>12}{'TFLOP':>9}{'exchanges':>10}{'compiled in':>13}"]
        for name, p in self.programs.items():
            work = "-" if p.flops is None else f"{p.flops / 1e12:.3g}"
            meetings = "-" if p.collectives is None else str(p.collectives)
            sizes = f"{p.memory / 2**20:>12,.1f}{work:>9}{meetings:>10}"
            lines.append(f"{name:<10}{p.gives:<42}{sizes}{p.seconds:>11.1f} s")
        no = [name for name, p in self.programs.items() if p.memory > self.hbm]
        lines.append(f"{self.topology}: {self.chips} chips, {self.hbm / 2**30:.2f} GiB for a program on each")
        lines.append(f"does not fit: {', '.join(no)}" if no else "everything fits")
        lines.append(f"a chip holds the rows of at most {self.largest:,} units at a time")
        return "\n".join(lines)


def forecast(run: Run, topology: str, *, parameters: Any = None) -> Forecast:
    """The Forecast of `run` on TPUs, by compiling its programs for them. Nothing runs.

    The rows of units are spread over all chips, and so are the examples of a Newton step by conjugate gradients. It
    needs the package libtpu (`pip install 'certunl[aot]'`), and no TPU.

    Args:
        run: the training run. Of its arrays only shapes and types count.
        topology: chips and their layout, such as "v5e:2x4", "v5p:2x2x1" or "v6e:4x4".
        parameters: "sharded" or a rule for parameters in parts, as `use_mesh` takes it. Then all chips compute the same
            units together. Default: a copy on each chip.

    Raises: BadInput for a topology that libtpu does not know, and for inputs on the host; Unavailable without libtpu.
    """
    run.need_history("a plan")
    run.need_one_model("a forecast")
    worker, hbm = _chips(topology)
    worker = replace(worker, rule=parameters)
    check_on_device(run.problem.data, worker)
    once, each = step_flops(run)
    with jax.set_mesh(worker.mesh("units")):
        every = len(tracked(run, None)[1])
        units, unit = chunk_size(run, every, [worker]) // across(worker), unit_bytes(run, worker)
    rows = _rows(run, worker, units)
    other = units // 2 or 2
    slope = (_rows(run, worker, other).memory - rows.memory) / (other - units)
    steps, alike = len(run.schedule), worker.rule is None  # how parts share the work is the compiler's choice
    programs = {
        "training": replace(_training(run, worker), flops=steps * once if alike else None),
        "rows": replace(rows, flops=steps * (once + each * units) if alike else None),
        "newton": _newton(run, worker),
    }
    return Forecast(
        topology=topology,
        chips=len(worker),
        hbm=hbm,
        programs=programs,
        units=units,
        estimated=units * unit,
        largest=max(0, units + int((hbm - rows.memory) / max(slope, 1.0))),
    )


def _chips(topology: str) -> tuple[Worker, int]:
    """(the chips of a topology, the bytes that the compiler grants to a program on one of them)."""
    if importlib.util.find_spec("libtpu") is None:
        raise Unavailable("compiling for TPUs needs the package libtpu: pip install 'certunl[aot]'")
    from jax.experimental import topologies

    jax.devices()  # JAX reads its flags here; libtpu ends the process at its first compilation by one it does not know
    flags = os.environ.pop("XLA_FLAGS", None)
    for name, value in _NO_CLOUD.items():
        if os.environ.get(name, "WARNING").startswith("WARNING"):  # what JAX writes where it finds no cloud
            os.environ[name] = value
    try:
        try:
            devices = topologies.get_topology_desc(topology, platform="tpu").devices
        except Exception as error:  # libtpu raises several kinds
            reason = str(error).splitlines()[0][:200]
            raise BadInput(
                f"libtpu gives no topology {topology!r} ({reason}); give chips and their layout, such as v5e:2x4"
            ) from error
        worker = Worker(tuple(devices))
        return worker, _hbm(worker)
    finally:
        if flags is not None:
            os.environ["XLA_FLAGS"] = flags


def _compiled(gives: str, worker: Worker, axis: str, lower: Callable[[], Any]) -> Program:
    """The program of `lower`, compiled for the mesh of `worker`, on whose platform convolutions depend."""
    with Stopwatch() as watch, jax.set_mesh(worker.mesh(axis)):
        try:
            program = lower().compile()
        except jax.errors.JaxRuntimeError as error:
            if (sizes := _used(str(error))) is None:
                raise
            return Program(gives=gives, memory=sizes[0], flops=None, seconds=float("nan"), collectives=None)
    sizes: Any = program.memory_analysis()
    memory = sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes
    return Program(
        gives=gives,
        memory=memory - sizes.alias_size_in_bytes,
        flops=None,
        seconds=watch.seconds + watch.compile_seconds,
        collectives=_collectives(program),
    )


def _collectives(program: Any) -> int | None:
    names = r" (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)(-start)?\("
    try:
        return len(re.findall(names, program.as_text()))
    except jax.errors.JaxRuntimeError:  # libtpu 0.0.52 does so for v5p
        return None


def _rows(run: Run, worker: Worker, units: int) -> Program:
    axis, parts = _axis(worker, "units"), across(worker) == 1
    whole, owners = shapes(run, worker, axis), worker.shapes(jnp.arange(len(run.present), dtype=jnp.int32), axis)
    slots = worker.shapes(jnp.zeros(units * across(worker), jnp.int32), axis, split=not parts)
    gives = f"the rows of {units:,} units {'in parts' if parts else 'on each chip'}"
    return _compiled(gives, worker, axis, lambda: sensitivity.block.lower(whole, owners, slots))


def _training(run: Run, worker: Worker) -> Program:
    axis = _axis(worker, "copies")
    whole = shapes(run, worker, axis)
    program = jax.jit(lambda run: follow(run.problem, run.recipe, run.start, run.schedule))
    gives = f"the trained model, {'alike on each chip' if worker.rule is None else 'in parts'}"
    return _compiled(gives, worker, axis, lambda: program.lower(whole))


def _newton(run: Run, worker: Worker) -> Program:
    method = Newton(damping=1.0)
    gives = "one Newton step by conjugate gradients"
    return _compiled(gives, worker, _axis(worker, method.solver.axis), lambda: method.lower(run, worker))


def _axis(worker: Worker, axis: str) -> str:
    """The name of the axis of the mesh: `axis`, or that of the places of parameters in parts."""
    return axis if worker.rule is None else "devices"


def _hbm(worker: Worker) -> int:
    """The bytes that the compiler grants to a program on one chip. It tells them when it refuses a larger one."""
    with jax.set_mesh(worker.mesh("copies")):
        huge = worker.shapes(jax.ShapeDtypeStruct((2**38,), jnp.float32), "copies")
        try:
            jax.jit(lambda x: x + 1).lower(huge).compile()
        except jax.errors.JaxRuntimeError as error:
            if (sizes := _used(str(error))) is not None:
                return sizes[1]
            raise
    raise Unavailable("this libtpu compiles a program of a TiB for one chip, so nothing is known of the memory")


def _used(text: str) -> tuple[int, int] | None:
    """(bytes used, bytes there are) from the compiler's refusal «(2.00T) exceeds available HBM (15.75G)», or None."""
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    match = re.search(r"\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)", text)
    if match is None:
        return None
    return int(float(match[1]) * units[match[2]]), int(float(match[3]) * units[match[4]])
