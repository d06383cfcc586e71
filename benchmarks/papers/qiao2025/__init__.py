"""Qiao et al., Hessian-Free Online Certified Unlearning, ICLR 2025."""

from benchmarks.papers.table import Paper

__all__ = ["PAPER"]

PAPER = Paper(
    name="qiao2025",
    title="Hessian-free online certified unlearning (Qiao et al., ICLR 2025)",
    about="",
    tables=(),
)
