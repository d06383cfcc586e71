"""How long does the exact noise of a release take, beside floating-point normals?

python benchmarks/release_noise.py [--save] [--small]
"""

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, measure

from certunl.certificates.noise import noised

SIZES = {"784-32-32-10": 26_506, "AllCNN": 1_620_010, "ResNet18": 11_171_274}
SIGMA = 0.1


def main(argv: Sequence[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__, argv)
    sizes = {"tiny": 1000} if given.small else SIZES
    return [ask(name, size, save=given.save) for name, size in sizes.items()]


def ask(model: str, size: int, *, save: bool) -> dict[str, Any]:
    """One line of JSON for the noise of `size` float32 parameters. The peers draw floating-point normals."""
    params = {"w": jnp.zeros(size)}
    rng = np.random.default_rng(0)

    @jax.jit
    def threefry(key: jax.Array) -> jax.Array:
        return params["w"] + SIGMA * jax.random.normal(key, (size,))

    return measure(
        question="release_noise",
        settings={"model": model, "parameters": size},
        ours=lambda: noised(params, SIGMA, os.urandom(32))["w"],
        peers={
            "jax.random.normal": lambda: threefry(jax.random.key(0)),
            "numpy, float64 normals": lambda: rng.standard_normal(size),
        },
        save=save,
    )


if __name__ == "__main__":
    main()
