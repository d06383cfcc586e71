"""A fingerprint tells two runs apart wherever their rows differ, and is the same wherever it is taken."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import certunl as cu
from certunl.disk import digest
from certunl.fingerprint import fingerprint
from certunl.schedule import draw
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


def test_the_digest_of_arrays_is_the_one_run_folders_were_made_with():
    tree = {"a": jnp.arange(6.0).reshape(2, 3).T, "b": np.float32(2), "c": np.zeros((0, 3)), "d": np.array([True])}
    told = hashlib.sha256(b'{"x": [1, 2]}')
    for leaf in jax.tree.leaves(tree):
        array = np.ascontiguousarray(leaf)
        told.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    assert digest({"x": (1, 2)}, tree) == told.hexdigest()
    assert digest({}, jnp.ones(2, jnp.bfloat16)) != digest({}, jnp.zeros(2, jnp.bfloat16))
