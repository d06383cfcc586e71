"""Data and modules as users bring them to the command line."""

import csv
import sys

import numpy as np

SMALL = ("epochs=1", "batch_size=16")
TABLE = ("--dataset", "users.csv", "--model", "linear", "--set", "bound=2", "weight_decay=0.01", "learning_rate=0.5")
NETS = '''
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx

import certunl as cu


class Net(nn.Module):
    hidden: int = 4
    classes: int = 10

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes, param_dtype=x.dtype)(nn.tanh(nn.Dense(self.hidden, param_dtype=x.dtype)(x)))


class Three(nn.Module):
    """A class without a setting `classes`."""

    width: int = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width, param_dtype=x.dtype)(x)


class Twin(nnx.Module):
    def __init__(self, hidden=4, classes=10, *, rngs):
        self.layers = nnx.List([nnx.Linear(4, hidden, rngs=rngs), nnx.Linear(hidden, classes, rngs=rngs)])

    def __call__(self, x):
        return self.layers[1](jnp.tanh(self.layers[0](x)))


class Equi(eqx.Module):
    layers: list

    def __init__(self, hidden=4, classes=10, *, key):
        first, last = jax.random.split(key)
        self.layers = [eqx.nn.Linear(4, hidden, key=first), eqx.nn.Linear(hidden, classes, key=last)]

    def __call__(self, x):
        return self.layers[1](jnp.tanh(self.layers[0](x)))


class Picky(nn.Module):
    def __post_init__(self):
        raise ValueError("not today")


def made(width=4, classes=10):
    return Net(width, classes)


def bare(classes=10):
    return Twin(rngs=nnx.Rngs(0))


def huber(outputs, targets):
    return jnp.sqrt(1 + (outputs[:, 0] - targets) ** 2) - 1


def boom(outputs, targets):
    raise ValueError("no such loss")


def mean(outputs, targets):
    return jnp.mean(outputs)


def clusters(size=40):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, size).astype(np.int32)
    return cu.Dataset(rng.normal(size=(3, 4))[y] + 0.5 * rng.normal(size=(size, 4)), y)


net, number = Net(), 3
'''


def write(place):
    """nets_h2.py, users.csv, data.npz, numbers.npz and bits.npz in the folder `place`."""
    rng = np.random.default_rng(0)
    (place / "nets_h2.py").write_text(NETS)
    with (place / "users.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "age", "city", "bought"])
        for i in range(60):
            age = int(rng.integers(18, 80))
            name = "Ada, Countess" if i % 6 == 5 else f"user{i % 6}@example.org"
            writer.writerow(
                [name, "" if i % 17 == 3 else age, ("Basel", "Bern", "")[i % 3], "yes" if age > 50 else "no"]
            )
    y = rng.integers(0, 3, 40)
    x = rng.normal(size=(3, 4))[y] + 0.5 * rng.normal(size=(40, 4))
    np.savez(place / "data.npz", x=x, y=y, owners=np.arange(40) % 8)
    np.savez(place / "numbers.npz", x=x, y=x.sum(1))
    np.savez(place / "bits.npz", x=x, y=(x[:, :2] > 0).astype(int))


def entered(folder, monkeypatch):
    """`folder` with the user's files, as the current one until the generator ends."""
    write(folder)
    monkeypatch.chdir(folder)
    yield folder
    monkeypatch.undo()
    sys.modules.pop("nets_h2", None)
