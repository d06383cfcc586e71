"""Every metric on every release, always beside «original» (doing nothing) and «retrain» (the truth).

judging            evaluate, evaluate_all: one request, or every release of a folder
report             Report: what an evaluation found, as tables
comparison         compare, every_method: every method on the same requests
counterfactuals    predicted against true changes of the loss; laws of margins over many seeds
tradeoff           accuracy at every noise level
"""

from certunl.evaluation.comparison import compare, every_method
from certunl.evaluation.counterfactuals import LeaveOneOut, klom, klom_splits, leave_one_out
from certunl.evaluation.judging import evaluate, evaluate_all
from certunl.evaluation.report import Report

__all__ = [
    "LeaveOneOut",
    "Report",
    "compare",
    "evaluate",
    "evaluate_all",
    "every_method",
    "klom",
    "klom_splits",
    "leave_one_out",
]
