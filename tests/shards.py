"""Runs on shards, and one of their models, for the tests."""

import jax
import numpy as np

import certunl as cu
from certunl.training.sharding import members, only
from tests.cases import KEY, network

SETTINGS = {"learning_rate": 0.3, "epochs": 3, "batch_size": 4, "weight_decay": 0.05}


def run_of(problem=None, shards=3, **settings):
    return cu.train(problem or network(), cu.Recipe(**SETTINGS | settings), KEY, shards=shards)


def shards_of(run):
    return members(run.schedule, run.problem.shards)


def slots(schedule):
    return schedule.indices, schedule.weights


def alone_of(run, shard):
    """The schedule of one shard as that of a training of its own."""
    _, _, part = only(run.problem, run.start, run.schedule, np.array([shard]))
    return cu.Schedule(*slots(part), part.rates, part.divisors[:, 0])


def model(tree, shard):
    return jax.tree.map(lambda leaf: leaf[shard], tree)
