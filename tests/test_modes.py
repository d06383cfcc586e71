"""JAX's strict and debug modes, each in a process of its own, because they are read at the start."""

import os
import subprocess
import sys

import pytest

STORY = """
import jax, numpy as np, certunl as cu
rng = np.random.default_rng(0)
x, y = rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 3, 40).astype(np.int32)
data, key = cu.Dataset(x, y), jax.random.key(0)
problem = cu.classification(cu.models.MLP(hidden=(4,), classes=3), data)
recipe = cu.Recipe(epochs=2, batch_size=20, learning_rate=0.1, radius=5.0, weight_decay=0.01, clip_norm=5.0)
run = cu.train(problem, recipe, key)
adam = cu.train(problem, cu.Recipe(optimizer="adam", epochs=1), key)
cu.HessianFree().forget(adam, None, [1], key)
ggn = {"operator": "ggn", "damping": 0.1}
methods = {
    "rows": cu.HessianFree(),
    "lissa": cu.Newton(**ggn, solver=cu.LiSSA(depth=20, repeats=2)),
    "dense": cu.Newton(**ggn, solver=cu.Dense()),
    "cg": cu.Newton(operator="fisher", damping=0.1),
    "scrub": cu.SCRUB(),
    "lcodec": cu.LCODEC(damping=1.0),
}
updates = {name: method.forget(run, method.prepare(run), [1, 2, 5], key) for name, method in methods.items()}
print(cu.evaluate(run, [1, 2, 5], updates, test=cu.Dataset(x[:20], y[:20])))
linear = cu.train(cu.classification(cu.models.Linear(classes=3, bound=1.0), data), cu.Recipe(weight_decay=0.1), key)
update = cu.CertifiedRemoval().forget(linear, None, [1], key)
print(cu.certify(update, cu.Budget(epsilon=1.0, delta=1e-5), cu.secret_key()))
half = cu.train(cu.classification(cu.models.MLP(hidden=(4,), classes=3, dtype="bfloat16"), data), recipe, key)
cu.Newton(**ggn, solver=cu.Dense()).forget(half, None, [1], key)
retained = cu.train(problem, cu.Recipe(epochs=1, batch_size=20, denominator="retained"), key)
cu.Newton(operator="ggn").forget(retained, None, [1], key)
cu.certify(cu.NoisyFineTuning(noise=5.0).forget(run, None, [1], cu.secret_key()), cu.Budget(epsilon=9.0, delta=1e-5))
cu.loss_changes(run, data)
"""
MODES = {
    "strict dtype promotion": {"JAX_NUMPY_DTYPE_PROMOTION": "strict"},
    "rank promotion refused": {"JAX_NUMPY_RANK_PROMOTION": "raise"},
    "debug NaNs": {"JAX_DEBUG_NANS": "1"},
    "strict dtype promotion, float64": {"JAX_NUMPY_DTYPE_PROMOTION": "strict", "JAX_ENABLE_X64": "1"},
}


@pytest.mark.parametrize("mode", MODES)
def test_the_story_ends_well(mode):
    done = subprocess.run(
        [sys.executable, "-c", STORY], env={**os.environ, **MODES[mode]}, capture_output=True, text=True, timeout=400
    )
    assert not done.returncode, done.stderr[-3000:]
