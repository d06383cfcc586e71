"""Every metric for every release, always beside «original» (before forgetting) and «retrain» (the ground truth).

judging            evaluate, evaluate_all: the releases of one request, or all releases of a folder
report             Report: the results of an evaluation
tables, findings   the tables and alarms of a Report, as text
joining            join: reports of several seeds as one, with means and deviations
comparison         compare, every_method: every method on the same requests
counterfactuals    predicted against true changes of the loss; distributions of margins over many seeds
tuning             tune: the settings of each method, chosen on a request that is not judged
tradeoff           accuracy at every noise level
"""

from certunl.evaluation.comparison import compare, every_method
from certunl.evaluation.counterfactuals import LeaveOneOut, klom, klom_splits, leave_one_out
from certunl.evaluation.joining import join
from certunl.evaluation.judging import evaluate, evaluate_all
from certunl.evaluation.report import Report
from certunl.evaluation.tuning import Tuned, tune

__all__ = [
    "LeaveOneOut",
    "Report",
    "Tuned",
    "compare",
    "evaluate",
    "evaluate_all",
    "every_method",
    "join",
    "klom",
    "klom_splits",
    "leave_one_out",
    "tune",
]
