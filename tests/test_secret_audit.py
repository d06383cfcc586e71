"""The price of secret batches, held against an audit by many trainings: half the noise is caught."""

from dataclasses import replace

import numpy as np
import pytest

import certunl as cu
from certunl.certificates.mixtures import mixture_epsilon
from certunl.certificates.secret import spent
from certunl.training.drawing import draw
from certunl.training.loop import begin
from certunl.training.noisy import noisy_steps
from tests.cases import KEY
from tests.noisy import one_against_many


def attack(noise, claimed, runs=800):
    """An audit of doing nothing on secret batches, whose training has `noise` and whose certificate says `claimed`."""
    problem = one_against_many()
    settings = {"learning_rate": 1.0, "epochs": 2, "batch_size": 6, "clip_each": 1.0, "batches": "secret"}
    recipe = cu.Recipe(**settings, noise=noise)
    run = cu.train(problem, recipe, KEY, noise_key=KEY)

    def ends(stays):
        def one(key):
            seed = spent(key)
            schedule = draw(seed, recipe, 8)
            schedule = replace(schedule, weights=schedule.weights * (stays | (np.asarray(schedule.indices) != 0)))
            return noisy_steps(problem, recipe, begin(problem, recipe, run.start), schedule, seed, 0, 4)[0][0]

        return one

    said = replace(run, recipe=replace(recipe, noise=claimed))
    release = cu.certify(cu.NoisyRetrain().forget(said, None, [0], KEY), cu.Budget(epsilon=4.0, delta=0.05))
    return cu.audit_runs(
        ends(True), ends(False), release.certificate, runs=runs, key=KEY, statistic=lambda p: float(p["w"][0])
    )


def test_the_price_is_not_refuted_and_with_half_the_noise_it_is():
    fair, half = attack(1.5, 1.5), attack(0.75, 1.5)
    assert (
        fair.epsilon
        == half.epsilon
        == pytest.approx(mixture_epsilon(0.05, group=1, rate=0.75, noise=1.5, steps=4), rel=1e-3)
    )
    assert not fair.refuted and fair.lower > 0.2
    assert half.refuted
