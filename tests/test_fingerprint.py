"""A fingerprint tells two runs apart wherever their rows differ, and is the same wherever it is taken."""

import hashlib
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import FunctionType

import jax
import jax.numpy as jnp
import numpy as np
import optax

import certunl
import certunl as cu
from certunl.base import digest
from certunl.rows.origin import _described, fingerprint
from certunl.training.drawing import draw
from tests.cases import classes, network

ROOT = Path(__file__).parents[1]


def begun(problem, seed=0, **recipe):
    """A run before its first step: a fingerprint asks for no more."""
    recipe = cu.Recipe(**{"epochs": 3, "batch_size": 8} | recipe)
    start = problem.init(jax.random.key(seed))
    present = jnp.ones(len(problem.data), bool)
    return cu.Run(problem, recipe, start, draw(jax.random.key(seed), recipe, 30), start, present)


def test_a_fingerprint_is_of_everything_that_fixes_the_rows_and_of_nothing_else():
    run = begun(network())
    later = run.minus([3], jax.tree.map(jnp.zeros_like, run.params))
    assert fingerprint(begun(network())) == fingerprint(later) == fingerprint(run)
    problem, scaled = run.problem, optax.scale_by_rms
    others = [
        replace(run, start=jax.tree.map(lambda leaf: leaf + 1, run.start)),
        replace(run, recipe=replace(run.recipe, weight_decay=0.1)),
        replace(run, recipe=replace(run.recipe, optimizer=scaled(eps=1e-3))),
        replace(run, recipe=replace(run.recipe, optimizer=scaled(eps=1e-4))),
        replace(run, schedule=run.schedule.without([3])),
        replace(run, problem=network(l2=0.1)),
        replace(run, problem=network(owners=np.arange(30))),
        replace(run, problem=replace(problem, data=classes(seed=1))),
        replace(run, problem=replace(problem, losses=lambda params, batch: batch.y)),
    ]
    assert len({fingerprint(r) for r in [run, *others]}) == 1 + len(others)


FINGERPRINT = """
import jax
jax.config.update("jax_enable_x64", True)
from tests import test_fingerprint as t
print(t.fingerprint(t.begun(t.network(), optimizer=t.optax.scale_by_rms())))
"""


def test_a_fingerprint_is_the_same_in_another_process():
    found = subprocess.run([sys.executable, "-c", FINGERPRINT], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.strip() == fingerprint(begun(network(), optimizer=optax.scale_by_rms()))


def test_a_function_or_class_of_ours_is_named_without_its_file_and_those_of_others_with_it():
    def copy(module):
        run = begun(network())
        loss = run.problem.losses.output_loss
        moved = FunctionType(loss.__code__, loss.__globals__, loss.__name__, loss.__defaults__)
        moved.__module__, moved.__qualname__ = module, loss.__qualname__
        losses = replace(run.problem.losses, output_loss=moved)
        return fingerprint(replace(run, problem=replace(run.problem, losses=losses)))

    assert copy("certunl") == copy("certunl.a.house.of.its.own") == fingerprint(begun(network()))
    assert len({copy("certunl"), copy("certunlike"), copy("a"), copy("b")}) == 4

    def kind(module, name="Kind"):
        return type(name, (), {"__module__": module})

    assert _described(kind("certunl.a")) == _described(kind("certunl.b")) == "certunl:Kind"
    assert (
        len({_described(kind("certunl.a", "Other")), _described(kind("a")), _described(kind("b")), "certunl:Kind"}) == 4
    )


def test_no_two_functions_of_ours_that_differ_by_their_file_alone_go_by_one_name():
    files = [importlib.import_module(m.name) for m in pkgutil.walk_packages(certunl.__path__, "certunl.")]
    homes = defaultdict(set)
    for file in files:
        for thing in vars(file).values():
            if inspect.isfunction(thing) and thing.__module__.startswith("certunl."):
                homes[repr(_described(thing))].add(thing.__module__)
    assert len(homes) > 200 and not [where for where in homes.values() if len(where) > 1]


def test_sets_are_told_in_one_order_whether_they_are_held_or_constants_of_code():
    one, other = frozenset([0, 8]), frozenset([8, 0])
    assert one == other and repr(one) != repr(other)  # as hashing of strings has it in two processes

    def function(x):
        return x in {0, 8}

    (position,) = [i for i, c in enumerate(function.__code__.co_consts) if c == one]
    told = []
    for constant in (one, other, frozenset([0, 9])):
        constants = list(function.__code__.co_consts)
        constants[position] = constant
        function.__code__ = function.__code__.replace(co_consts=tuple(constants))
        told.append(_described(function))
    assert told[0] == told[1] != told[2]
    assert _described(one) == _described(other) != _described(set(other)) != _described({0, 9})


def test_code_that_is_only_called_by_name_is_seen_by_its_name():
    held, told = {"helper": lambda x: x}, []
    for source in ("def losses(x): return helper(x)", "def losses(x): return helper(2 * x)"):
        exec(source, held)
        told.append(_described(held["losses"]))
        held["helper"] = lambda x: 2 * x
        assert _described(held["losses"]) == told[-1]
    assert told[0] != told[1]


def test_the_digest_of_arrays_is_the_one_run_folders_were_made_with():
    tree = {"a": jnp.arange(6.0).reshape(2, 3).T, "b": np.float32(2), "c": np.zeros((0, 3)), "d": np.array([True])}
    told = hashlib.sha256(b'{"x": [1, 2]}')
    for leaf in jax.tree.leaves(tree):
        array = np.ascontiguousarray(leaf)
        told.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    assert digest({"x": (1, 2)}, tree) == told.hexdigest()
    assert digest({}, jnp.ones(2, jnp.bfloat16)) != digest({}, jnp.zeros(2, jnp.bfloat16))


def test_a_docstring_may_be_reworded():
    def losses(words):
        scope = {}
        exec(f'def losses(params, batch):\n    """{words}"""\n    return 2.0 * params["w"]', scope)
        return scope["losses"]

    one, other = (_described(losses(words), ()) for words in ("The loss.", "The losses, one for each example."))
    assert one == other != _described(lambda params, batch: 3.0 * params["w"], ())
