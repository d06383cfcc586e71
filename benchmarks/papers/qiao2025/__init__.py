"""Qiao et al., Hessian-Free Online Certified Unlearning, ICLR 2025."""

from benchmarks.papers.qiao2025 import (
    ablations,
    fmnist,
    membership,
    noise,
    norms,
    repairing,
    resnet18,
    tabular,
    times,
    verification,
)
from benchmarks.papers.table import Paper

__all__ = ["PAPER"]

PAPER = Paper(
    name="qiao2025",
    title="Hessian-free online certified unlearning (Qiao et al., ICLR 2025)",
    about=(
        "Hyper-parameters, sizes and seeds are those of the authors' scripts, and starts are drawn as PyTorch draws "
        "them. Subsets, orders and requests are drawn here, so numbers agree with theirs in size and not in digits. "
        "The retrained model replays training from the same start on the same batches without the request. Distances "
        "are Euclidean, of all parameters. The numbers of the main paper's tables and figures are not at hand, so "
        "published numbers are those of its rebuttal. Left out: CelebA and LFW, whose files are not there, and the "
        "baselines NegGrad and fine-tuning, which the table of all methods has. Left out too: the paper's deletion "
        "capacity (definition 2, theorems 6 to 8), the largest number of deletions at which the expected excess risk "
        "stays below 0.01. Theorem 6 needs a loss that is Lipschitz and strongly convex at once, and its first term, "
        "4L²/(λ(n - m)), is 0.2 already for the paper's own LR (L = 5, the threshold of clipping; λ = 0.5; n = 1,000), "
        "so that capacity is 0 there. `certunl.bounds.deletion_capacity` is another notion: the largest number at "
        "which a proved distance stays below a given one."
    ),
    tables=(
        verification.TABLE,
        fmnist.TABLE,
        norms.TABLE,
        membership.TABLE,
        noise.TABLE,
        repairing.TABLE,
        times.TABLE,
        ablations.TABLE,
        tabular.TABLE,
        resnet18.TABLE,
    ),
)
