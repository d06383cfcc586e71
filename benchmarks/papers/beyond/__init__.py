"""What no paper shows: every method on every kind of request, and the trainings under which a Newton step helps."""

from benchmarks.papers.beyond.conditions import CONDITIONS
from benchmarks.papers.beyond.methods import ALL
from benchmarks.papers.table import Paper

__all__ = ["PAPER"]

PAPER = Paper(
    name="beyond",
    title="Beyond the papers: every method on every kind of request",
    about=(
        "Retraining is the judge: a heuristic aims at its behaviour (tug of war, attacks, KLoM), a replaying method "
        "also at its parameters (distance). PROVED is a statement about the release, with its noise."
    ),
    tables=(ALL, CONDITIONS),
)
