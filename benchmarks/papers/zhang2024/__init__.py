"""Zhang et al., Towards Certified Unlearning for Deep Neural Networks, ICML 2024."""

from benchmarks.papers.table import Paper
from benchmarks.papers.zhang2024.damping import DAMPING
from benchmarks.papers.zhang2024.inverse import INVERSE, NORMALISATION
from benchmarks.papers.zhang2024.methods import METHODS
from benchmarks.papers.zhang2024.noise import NOISE
from benchmarks.papers.zhang2024.sequential import SEQUENTIAL
from benchmarks.papers.zhang2024.sizes import FORGOTTEN, RECURSION

__all__ = ["PAPER"]

PAPER = Paper(
    name="zhang2024",
    title="Towards certified unlearning for deep neural networks (Zhang et al., ICML 2024)",
    about=(
        "Every model is compared with true retraining: the same start and the same batches, without the forgotten "
        "examples. A distance of 1 is that of doing nothing. The numbers of the paper's tables are not at hand. Where "
        "one is known, it stands beside ours. Differs everywhere: images scaled by fixed constants, forgotten examples "
        "drawn from the training examples alone, weight decay as it was trained with, a projection after the step, "
        "and the attack scored on examples that it did not learn from."
    ),
    tables=(METHODS, DAMPING, NOISE, FORGOTTEN, RECURSION, SEQUENTIAL, INVERSE, NORMALISATION),
)
