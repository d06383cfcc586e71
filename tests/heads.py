"""A network with noise, heads on its features, and their certificates, for the tests."""

import math

import jax
import jax.numpy as jnp
import numpy as np

import certunl as cu
from certunl.bounds.theorems.noisy_training import noisy_training
from certunl.certificates.sharing import SHARE
from tests.cases import KEY, classes

BUDGET = cu.Budget(epsilon=20.0, delta=1e-5)
HEAD = cu.models.Linear(classes=3, bound=1.0)
REST = math.sqrt(1 - SHARE**2)
METHOD = cu.CertifiedRemoval(tolerance=1e-4)


def network_with_noise():
    data = jax.tree.map(jnp.float32, classes(60)).replace(y=classes(60).y)
    problem = cu.classification(cu.models.MLP(hidden=(6,), classes=3), data)
    return cu.train(problem, cu.Recipe(epochs=2, batch_size=20, clip_each=0.5, noise=4.0), KEY, states=2)


def head_on(data, **settings):
    recipe = cu.Recipe(**{"weight_decay": 0.05, "epochs": 5, "learning_rate": 0.5, "batch_size": 20} | settings)
    return cu.train(cu.classification(HEAD, data), recipe, KEY)


def price(run, request):
    return noisy_training(run, np.isin(np.arange(len(run.present)), request)).bound


def certified(run, request, budget=BUDGET, method=METHOD, **rest):
    return cu.certify(method.forget(run, None, request, KEY), budget, cu.secret_key(), **rest).certificate
