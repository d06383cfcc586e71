"""Certified machine unlearning for deep networks, on JAX."""

import warnings as _warnings
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from certunl import attacks, bounds, datasets, methods, metrics, models, registry, requests, solvers
from certunl.audits.audit import Audit, epsilon_lower_bound
from certunl.audits.canaries import audit_canaries
from certunl.audits.one_run import one_run_lower_bound
from certunl.audits.refutation import audit_release, audit_runs
from certunl.bounds.constants import HessianFreeConstants, NewtonConstants
from certunl.certificates.account import Account
from certunl.certificates.budget import Budget
from certunl.certificates.calibration import certify
from certunl.certificates.certificate import Certificate, Release
from certunl.certificates.guarantee import REPLAY, Assumption, Guarantee
from certunl.certificates.secret import secret_key
from certunl.certificates.statement import Distance, OwnNoise, Pairs
from certunl.certificates.update import Unlearner, Update
from certunl.datasets import Splits, read_csv, read_npz
from certunl.errors import BadInput, Diverged
from certunl.evaluation import Report, evaluate
from certunl.evaluation.comparison import compare, every_method
from certunl.evaluation.counterfactuals import LeaveOneOut, klom, klom_splits, leave_one_out
from certunl.features import Features
from certunl.folders.checkpoints import read_params
from certunl.folders.resuming import Checkpoints
from certunl.folders.saving import load, save
from certunl.methods.certified_removal import CertifiedRemoval
from certunl.methods.descent_to_delete import DescentToDelete
from certunl.methods.finetune import FineTune
from certunl.methods.fisher import FisherForgetting
from certunl.methods.hessian_free import HessianFree
from certunl.methods.influence import DiagonalInfluence
from certunl.methods.jackknife import Jackknife
from certunl.methods.lcodec import LCODEC
from certunl.methods.model_clipping import ModelClipping
from certunl.methods.neggrad import NegGrad
from certunl.methods.neggrad_plus import NegGradPlus
from certunl.methods.newton import Newton
from certunl.methods.newton_step import NewtonStep
from certunl.methods.noisy_finetuning import NoisyFineTuning
from certunl.methods.noisy_retrain import NoisyRetrain
from certunl.methods.noisy_sgd import NoisySGD
from certunl.methods.perturbed_removal import PerturbedRemoval
from certunl.methods.random_labels import RandomLabels
from certunl.methods.retrain import Retrain
from certunl.methods.rewind_to_delete import RewindToDelete
from certunl.methods.salun import SalUn
from certunl.methods.scrub import SCRUB
from certunl.planning.costs import Plan, plan
from certunl.rows.attribution import attribute, loss_changes
from certunl.rows.gatherers import Backward, Forward
from certunl.rows.staleness import Staleness, measure_staleness
from certunl.rows.statistics import Statistics
from certunl.rows.store import Store
from certunl.solvers.cg import CG
from certunl.solvers.dense import Dense
from certunl.solvers.lissa import LiSSA
from certunl.stream import Stream
from certunl.training.adoption import adopt
from certunl.training.dataset import Dataset
from certunl.training.ensemble import ensemble, retrainings, seeds
from certunl.training.freezing import freeze
from certunl.training.host import OnHost
from certunl.training.hosts import distributed
from certunl.training.mesh import use_mesh
from certunl.training.problem import Problem
from certunl.training.recipe import Recipe
from certunl.training.recording import record
from certunl.training.run import Run
from certunl.training.schedule import Schedule
from certunl.training.supervised import binary, classification, multilabel, regression, sequence, supervised
from certunl.training.training import fit, train

__all__ = [
    "CG",
    "LCODEC",
    "REPLAY",
    "SCRUB",
    "Account",
    "Assumption",
    "Audit",
    "Backward",
    "BadInput",
    "Budget",
    "Certificate",
    "CertifiedRemoval",
    "Checkpoints",
    "Dataset",
    "Dense",
    "DescentToDelete",
    "DiagonalInfluence",
    "Distance",
    "Diverged",
    "Features",
    "FineTune",
    "FisherForgetting",
    "Forward",
    "Guarantee",
    "HessianFree",
    "HessianFreeConstants",
    "Jackknife",
    "LeaveOneOut",
    "LiSSA",
    "ModelClipping",
    "NegGrad",
    "NegGradPlus",
    "Newton",
    "NewtonConstants",
    "NewtonStep",
    "NoisyFineTuning",
    "NoisyRetrain",
    "NoisySGD",
    "OnHost",
    "OwnNoise",
    "Pairs",
    "PerturbedRemoval",
    "Plan",
    "Problem",
    "RandomLabels",
    "Recipe",
    "Release",
    "Report",
    "Retrain",
    "RewindToDelete",
    "Run",
    "SalUn",
    "Schedule",
    "Splits",
    "Staleness",
    "Statistics",
    "Store",
    "Stream",
    "Unlearner",
    "Update",
    "__version__",
    "adopt",
    "attacks",
    "attribute",
    "audit_canaries",
    "audit_release",
    "audit_runs",
    "binary",
    "bounds",
    "certify",
    "classification",
    "compare",
    "datasets",
    "distributed",
    "ensemble",
    "epsilon_lower_bound",
    "evaluate",
    "every_method",
    "fit",
    "freeze",
    "klom",
    "klom_splits",
    "leave_one_out",
    "load",
    "loss_changes",
    "measure_staleness",
    "methods",
    "metrics",
    "models",
    "multilabel",
    "one_run_lower_bound",
    "plan",
    "read_csv",
    "read_npz",
    "read_params",
    "record",
    "registry",
    "regression",
    "requests",
    "retrainings",
    "save",
    "secret_key",
    "seeds",
    "sequence",
    "solvers",
    "supervised",
    "train",
    "use_mesh",
]

__version__ = "0.2.0"


def __dir__() -> list[str]:
    """The public names: rooms that hold several things by name, and things."""
    return sorted(__all__)


if not _TYPE_CHECKING:  # else a checker would take every name for known

    def __getattr__(name: str) -> _Any:
        """`rooms`, the old name of `registry`, for one version more."""
        if name == "rooms":
            _warnings.warn("certunl.rooms is now certunl.registry", DeprecationWarning, stacklevel=2)
            return registry
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
