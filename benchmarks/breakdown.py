"""Where do the seconds of a recursion go: matrix products, copies, gathers or the arithmetic between them?

python benchmarks/breakdown.py [--save] [--small]

The profiler of JAX times each operation of the compiled program. The program's text says what an operation does.
"""

import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import conjugate_gradients
import jax
import jax.numpy as jnp
import lissa
from harness import SIDE, arguments, made, tell
from problems import classifier, convolutional, images
from store import timed

import certunl as cu
from certunl.training import sensitivity
from certunl.training.workers import chunk_size

FULL: dict[str, dict[str, Any]] = {
    "lissa, 784-32-32-10": {"examples": 1000, "depth": 300, "repeats": 10},
    "rows, 784-10": {"examples": 1000, "units": 500},
    "rows, cnn": {"examples": 1000, "units": 32},
    "rows, cnn, relu, max": {"examples": 1000, "units": 32},
    "cg, 784-10": {"examples": 10_000},
    "cg, 784-10, few": {"examples": 100},
    "cg, 784-32-32-10": {"examples": 2000},
}
SMALL: dict[str, dict[str, Any]] = {
    "lissa, 784-32-32-10": {"examples": 40, "depth": 4, "repeats": 2},
    "cg, 784-10": {"examples": 40},
}
KINDS = ("products", "copies", "gathers", "arithmetic", "control")
_MOVES = {"copy", "transpose", "reshape", "bitcast", "slice", "concatenate", "pad", "broadcast", "dynamic-slice"}
_MOVES |= {"parameter", "constant", "get-tuple-element", "tuple", "dynamic-update-slice", "iota", "convert", "reverse"}
_LINE = re.compile(r"^\s*(?:ROOT )?%([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*?)\)(.*)$")
_HEAD = re.compile(r"^(?:ENTRY )?%([\w.\-]+) \(.*\{$")


@dataclass(frozen=True)
class Operation:
    """What one operation of a program does.

    Args:
        kind: one of `KINDS`.
        flops: floating-point operations of its matrix products.
        size: bytes of its operands and its result.
    """

    kind: str
    flops: float
    size: float


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    words = arguments(__doc__, argv)
    return [ask(name, save=words.save, small=words.small, **s) for name, s in (SMALL if words.small else FULL).items()]


def ask(name: str, *, save: bool, small: bool, **settings: Any) -> dict[str, Any]:
    """One line of JSON for one program."""
    program, inputs, facts = programs(name, small, **settings)
    compiled = program.lower(*inputs).compile()

    def call() -> Any:
        return compiled(*inputs)

    seconds = min(timed(call) for _ in range(2 if small else 5))
    kinds, traced = breakdown(call, operations(compiled.as_text()))
    line = {"question": "breakdown", "settings": {"work": name, **settings, **facts, "seed": 0}, **made(False)}
    square = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
    rate = 2 * SIDE**3 / min(timed(lambda: product(square)) for _ in range(4)) / 1e9
    return tell({**line, "seconds": seconds, "traced": traced, "kinds": kinds, "matmul_gflops": rate}, save=save)


def programs(name: str, small: bool, **settings: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """(the jitted function, its inputs, more settings)."""
    work, model = name.split(", ", 1)
    data, source = images(settings["examples"], real=not small)
    data = jax.tree.map(jnp.asarray, data)
    hidden = tuple(map(int, model.replace(", few", "").split("-")[1:-1])) if model[0].isdigit() else ()
    problem = convolutional(model, data) if model.startswith("cnn") else classifier(hidden, data)
    recipe = cu.Recipe(learning_rate=0.05, epochs=1, batch_size=64 if model.startswith("cnn") else 32)
    run = cu.train(problem, recipe, jax.random.key(0))
    facts = {"data": source, "steps": len(run.schedule)}
    b = jax.jit(jax.grad(problem.risk))(run.params, data[jnp.arange(20)], jnp.full(20, 1 / len(data)))
    if work == "lissa":
        solver = cu.LiSSA(depth=settings["depth"], repeats=settings["repeats"], scale=500.0, batch_size=10)
        program = jax.jit(lambda run, b, key: lissa.solve(run, b, key, solver).x)
        return program, (run, b, jax.random.key(1)), facts
    if work == "cg":
        return jax.jit(conjugate_gradients.ours), (problem, run.params, b), facts
    size = chunk_size(run, settings["units"])
    units = jnp.arange(size, dtype=jnp.int32)
    owners = jnp.arange(len(data), dtype=jnp.int32)
    return jax.jit(lambda *inputs: sensitivity.block(*inputs)[0]), (run, owners, units), facts | {"block": size}


def breakdown(call: Callable[[], Any], meanings: dict[str, Operation]) -> tuple[dict[str, dict[str, float]], float]:
    """({kind: seconds, flops and bytes of its operations}, the wall seconds of the traced call)."""
    options = jax.profiler.ProfileOptions()
    options.host_tracer_level, options.python_tracer_level = 2, 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            traced = timed(call)
        (path,) = Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
        lines = [[*line.events] for plane in planes for line in plane.lines]
    seconds, times = defaultdict[str, float](float), Counter[str]()
    for events in lines:
        timed_events = [(e.start_ns, e.duration_ns, e.name) for e in events if "hlo_op" in dict(e.stats)]
        for name, own in own_time(timed_events):
            seconds[name] += own / 1e9
            times[name] += 1
    kinds = {kind: {"seconds": 0.0, "flops": 0.0, "bytes": 0.0} for kind in KINDS}
    for name, spent in seconds.items():
        meaning = meanings.get(name, Operation("control", 0, 0))
        kinds[meaning.kind]["seconds"] += spent
        kinds[meaning.kind]["flops"] += times[name] * meaning.flops
        kinds[meaning.kind]["bytes"] += times[name] * meaning.size
    return kinds, traced


def own_time(events: Sequence[tuple[float, float, str]]) -> list[tuple[str, float]]:
    """(name, duration without that of the events inside) for each (start, duration, name) of one thread."""
    result: list[list[Any]] = []
    open_ones: list[tuple[float, int]] = []  # (end, place in result)
    for start, duration, name in sorted(events, key=lambda event: (event[0], -event[1])):
        while open_ones and open_ones[-1][0] <= start:
            open_ones.pop()
        if open_ones:
            result[open_ones[-1][1]][1] -= duration
        open_ones.append((start + duration, len(result)))
        result.append([name, duration])
    return [(name, own) for name, own in result]


def operations(text: str) -> dict[str, Operation]:
    """What each operation of a program's text does."""
    bodies: dict[str, dict[str, tuple[str, str, str, str]]] = {}
    body: dict[str, tuple[str, str, str, str]] = {}
    for line in text.splitlines():
        if head := _HEAD.match(line):
            body = bodies.setdefault(head[1], {})
        elif match := _LINE.match(line):
            body[match[1]] = (match[2], match[3], match[4], match[5])
    return {name: _meaning(name, body, bodies) for body in bodies.values() for name in body}


def _meaning(name: str, body: dict[str, Any], bodies: dict[str, dict[str, Any]]) -> Operation:
    shape, opcode, operands, rest = body[name]
    names = re.findall(r"%([\w.\-]+)", operands)
    size = _bytes(shape) + sum(_bytes(body[operand][0]) for operand in names if operand in body)
    calls = re.search(r"calls=%([\w.\-]+)", rest)
    home = bodies.get(calls[1], {}) if calls else body
    inside = list(home.values()) if calls else [body[name]]
    opcodes = {one[1] for one in inside}
    if opcode in ("while", "call", "conditional"):
        return Operation("control", 0, 0)
    if opcodes & {"dot", "convolution"}:
        return Operation("products", sum(_flops(one, home) for one in inside), size)
    if opcodes & {"gather", "scatter"}:
        return Operation("gathers", 0, size)
    return Operation("copies" if opcodes <= _MOVES | {"fusion"} else "arithmetic", 0, size)


def _flops(instruction: tuple[str, str, str, str], body: dict[str, Any]) -> float:
    shape, opcode, operands, rest = instruction
    if opcode != "dot":
        return 0
    left = re.findall(r"%([\w.\-]+)", operands)[0]
    sizes = _sides(body[left][0])
    contracted = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", rest)
    axes = [int(axis) for axis in contracted[1].split(",")] if contracted and contracted[1] else []
    return 2.0 * prod(_sides(shape)) * prod(sizes[axis] for axis in axes)


def _sides(shape: str) -> list[int]:
    match = re.search(r"\[([\d,]*)\]", shape)
    return [int(side) for side in match[1].split(",")] if match and match[1] else []


def _bytes(shape: str) -> float:
    wide = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "f64": 8, "s64": 8, "u64": 8}
    parts = re.findall(r"(\w+)\[([\d,]*)\]", shape)
    return sum(wide.get(kind, 4) * prod(int(side) for side in sides.split(",") if side) for kind, sides in parts)


if __name__ == "__main__":
    main()
