"""The inputs of docs/refusals.md. `python -m tests.refusals` writes the page anew."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "refusals.md"
HEAD = """# What a wrong input says

Every door checks what comes in, before the long work, and answers in one sentence: what is expected, what came, what to
do. Nothing is lost by it. These are the sentences, word for word; a test makes each mistake again. `UserWarning` marks
what is possible but seldom meant. All others are `cu.BadInput`, or `cu.Diverged` where the numbers went wrong.

In the table `x f32[40, 4]` and `y` (classes 0, 1, 2) are arrays, `owners` are their owners 0 to 9, `problem` is a small
network on them, `run` its training, `adopted` the same without a history, and `folder` holds a file `users.csv`.

| input | answer |
|---|---|
"""
INPUTS = [
    "cu.Dataset([[1.0, 2.0], [1.0]], [0, 1])",
    "cu.Dataset(scipy.sparse.eye(40), y).check()",
    "cu.Dataset(x.astype(object), y).check()",
    "cu.Dataset(np.where(x > 1, np.nan, x), y).check()",
    "cu.Dataset(x, y[:5]).check()",
    "cu.Dataset(x[:0], y[:0]).check()",
    "cu.Dataset(np.full((40, 1), 2**40), y).check()",
    "cu.Dataset(1.7e9 + np.arange(40.0)[:, None], y).check()",
    "cu.Dataset(np.full((40, 2, 2), 200, np.uint8), y).check()",
    "cu.Dataset(x, y, ['ann'] * 40).check()",
    "cu.classification(cu.models.MLP(classes=2), data)",
    "cu.classification(cu.models.MLP(classes=3), cu.Dataset(x, x[:, 0]))",
    "cu.classification(cu.models.CNN(classes=3), data)",
    "cu.classification(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), data)",
    "cu.binary(cu.models.Linear(classes=1), data)",
    "cu.binary(cu.models.Linear(classes=2), cu.Dataset(x, y > 0))",
    "cu.regression(cu.models.Linear(classes=2), cu.Dataset(x, x[:, 0]))",
    "cu.classification(cu.models.Linear(), cu.datasets.load('wine'))",
    "cu.supervised(cu.models.Linear(), data, None)",
    "cu.supervised(cu.models.Linear(), data, lambda outputs, targets: outputs.missing)",
    "cu.supervised(cu.models.Linear(), data, lambda outputs, targets: targets)",
    "cu.Problem(init=problem.init, losses=problem.losses, data=data, kind='clusters')",
    "cu.freeze(problem, run.params, trainable='Dense_9')",
    "cu.freeze(run, run.params, trainable='Dense_1')",
    "cu.OnHost([1.0, 2.0])",
    "cu.Dataset(x, cu.OnHost(y)).check()",
    "cu.Recipe(optimizer='rmsprop')",
    "cu.Recipe(learning_rate=0.0)",
    "cu.HessianFree().forget(signed, None, [1], key)",
    "cu.train(problem, {'epochs': 1}, key)",
    "cu.train(problem, cu.Recipe(), 0)",
    "cu.train(problem, cu.Recipe(optimizer=optax.adam(1e-3), epochs=1), key)",
    "cu.train(problem, cu.Recipe(optimizer=optax.set_to_zero()), key)",
    "cu.fit(problem, cu.Recipe(), jax.tree.map(lambda p: p.astype(int), run.start), run.schedule)",
    "cu.fit(problem, cu.Recipe(), jax.tree.map(lambda p: p * np.nan, run.start), run.schedule)",
    "cu.fit(problem, cu.Recipe(), {'w': x}, run.schedule)",
    "cu.train(sick, cu.Recipe(epochs=1), key)",
    "cu.evaluate(run, [1, 2], cu.Retrain().forget(run, None, [1, 2], key), test=(x, y))",
    "cu.evaluate(run, [1, 2], cu.Retrain().forget(run, None, [1, 2], key), test=cu.Dataset(x[:, :3], y))",
    "cu.loss_changes(run, cu.Dataset(x, y + 7))",
    "cu.Retrain().forget(run, None, [], key)",
    "cu.Retrain().forget(run, None, [3, 99], key)",
    "cu.Retrain().forget(run, None, np.arange(40), key)",
    "cu.Newton().forget(run, None, [3], 0)",
    "cu.requests.random(jax.random.split(key), run, 3)",
    "cu.requests.by_owner(run, [2, 99999])",
    "cu.requests.by_class(key, run, 7)",
    "cu.adopt(problem, {'w': x})",
    "cu.HessianFree().forget(adopted, None, [1], key)",
    "cu.evaluate(adopted, [1], cu.Newton(operator='ggn').forget(adopted, None, [1], key))",
    "cu.read_csv(folder / 'users.csv', label='buys')",
    "cu.read_csv(folder / 'users.csv', label='bought', plan={'of': 'table'})",
    "cu.read_npz(folder / 'users.csv')",
    "cu.datasets.load('nothing.csv')",
    "cu.datasets.load('nowhere:function')",
    "cu.load(folder)",
    "cu.save(run, 3)",
    "cu.record().step([[1], [2, 3]])",
]


def scope() -> dict[str, Any]:
    """The names of the table."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    import scipy.sparse
    from flax import nnx

    import certunl as cu

    rng, key = np.random.default_rng(0), jax.random.key(0)
    x, y, owners = rng.normal(size=(40, 4)).astype(np.float32), np.arange(40) % 3, np.arange(40) // 4
    data = cu.Dataset(x, y, owners)
    problem = cu.classification(cu.models.MLP(hidden=(4,), classes=3), data)
    run = cu.train(problem, cu.Recipe(epochs=1, batch_size=20), key)
    adopted = cu.adopt(problem, run.params)
    signed = cu.train(problem, cu.Recipe(optimizer=optax.lion(1.0), learning_rate=0.01, epochs=1), key)
    folder = Path(tempfile.mkdtemp())
    (folder / "users.csv").write_text("user,age,bought\n" + "ann,31,no\nbob,44,yes\n" * 5)

    def broken(params: Any, batch: Any) -> Any:
        return jnp.log(batch.y.astype(float) - 1.5) + batch.x @ params["w"]

    sick = cu.Problem(init=lambda key: {"w": jnp.zeros(4)}, losses=broken, data=data)
    return locals() | {"jax": jax, "np": np, "optax": optax, "scipy": scipy, "nnx": nnx, "cu": cu}


def answer(text: str, names: dict[str, Any]) -> str:
    """The sentence that an input gets. Raises: AssertionError if it gets none."""
    cu = names["cu"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            eval(text, names)
        except (cu.BadInput, cu.Diverged) as error:
            return str(error).replace(str(names["folder"]), "folder").replace(str(Path.cwd()), "here")
    sentences = [str(one.message) for one in caught if one.category is UserWarning]
    assert sentences, f"{text} was taken without a word"
    return f"UserWarning: {sentences[0]}"


def page() -> str:
    """The whole page."""
    names = scope()
    rows = []
    for text in INPUTS:
        said = answer(text, names)
        rows.append(f"| `{text}` | {said.replace('|', chr(92) + '|').replace('*', chr(92) + '*')} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
