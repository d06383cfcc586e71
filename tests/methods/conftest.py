"""Problems that tests of several methods share."""

import jax.numpy as jnp
import numpy as np
import pytest

import certunl as cu
from tests.cases import trained


@pytest.fixture(scope="module")
def flat():
    """A problem without a gradient: all that moves its 40,000 parameters is noise."""

    def losses(params, batch):
        return jnp.zeros(len(batch.y)) * params["w"][0]

    problem = cu.Problem(
        init=lambda key: {"w": jnp.zeros(40000)}, losses=losses, data=cu.Dataset(np.ones((6, 1)), np.ones(6))
    )
    return trained(problem, epochs=1)
