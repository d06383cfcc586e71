"""The bound that the authors' program computes, and the epsilon that noise stands for."""

import certunl as cu
from benchmarks.papers.qiao2025.trainings import Training
from certunl.bounds import published_bound
from certunl.certificates.gaussian import read_epsilon

__all__ = ["DELTA", "coded_bound", "exact"]

DELTA = 1e-5


def coded_bound(training: Training, forgotten: int) -> float:
    """Theorem 4 as the authors' program computes it, with rho = 1, which its power iteration always finds."""
    recipe = training.recipe
    return published_bound(
        learning_rate=recipe.learning_rate,
        decay=recipe.decay,
        contraction=1.0,
        gradient_bound=recipe.clip_norm or float("nan"),
        examples=training.examples,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        forgotten=forgotten,
        spelling="code",
    )


def exact(sigma: float, distance: float) -> float:
    """The epsilon of this noise at `DELTA`, NaN where it is out of range."""
    try:
        return read_epsilon(sigma / distance, DELTA)
    except cu.BadInput:
        return float("nan")
