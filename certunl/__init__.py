"""Certified machine unlearning for deep networks, on JAX."""

import warnings
from typing import TYPE_CHECKING, Any

from certunl import attacks as attacks
from certunl import bounds as bounds
from certunl import datasets as datasets
from certunl import methods as methods
from certunl import metrics as metrics
from certunl import models as models
from certunl import registry as registry
from certunl import requests as requests
from certunl import solvers as solvers
from certunl.audits.audit import Audit as Audit
from certunl.audits.audit import epsilon_lower_bound as epsilon_lower_bound
from certunl.audits.audit import one_run_lower_bound as one_run_lower_bound
from certunl.audits.canaries import audit_canaries as audit_canaries
from certunl.audits.refutation import audit_release as audit_release
from certunl.audits.refutation import audit_runs as audit_runs
from certunl.bounds.constants import HessianFreeConstants as HessianFreeConstants
from certunl.bounds.constants import NewtonConstants as NewtonConstants
from certunl.certificates.budget import Account as Account
from certunl.certificates.budget import Budget as Budget
from certunl.certificates.calibration import certify as certify
from certunl.certificates.calibration import secret_key as secret_key
from certunl.certificates.certificate import Certificate as Certificate
from certunl.certificates.certificate import Release as Release
from certunl.certificates.guarantee import REPLAY as REPLAY
from certunl.certificates.guarantee import Assumption as Assumption
from certunl.certificates.guarantee import Guarantee as Guarantee
from certunl.certificates.statement import Distance as Distance
from certunl.certificates.statement import OwnNoise as OwnNoise
from certunl.certificates.statement import Pairs as Pairs
from certunl.certificates.update import Unlearner as Unlearner
from certunl.certificates.update import Update as Update
from certunl.errors import BadInput as BadInput
from certunl.errors import Diverged as Diverged
from certunl.evaluation import Report as Report
from certunl.evaluation import evaluate as evaluate
from certunl.evaluation.comparison import compare as compare
from certunl.evaluation.comparison import every_method as every_method
from certunl.evaluation.counterfactuals import LeaveOneOut as LeaveOneOut
from certunl.evaluation.counterfactuals import klom as klom
from certunl.evaluation.counterfactuals import klom_splits as klom_splits
from certunl.evaluation.counterfactuals import leave_one_out as leave_one_out
from certunl.features import Features as Features
from certunl.methods.certified_removal import CertifiedRemoval as CertifiedRemoval
from certunl.methods.descent_to_delete import DescentToDelete as DescentToDelete
from certunl.methods.finetune import FineTune as FineTune
from certunl.methods.fisher import FisherForgetting as FisherForgetting
from certunl.methods.hessian_free import HessianFree as HessianFree
from certunl.methods.influence import DiagonalInfluence as DiagonalInfluence
from certunl.methods.jackknife import Jackknife as Jackknife
from certunl.methods.lcodec import LCODEC as LCODEC
from certunl.methods.model_clipping import ModelClipping as ModelClipping
from certunl.methods.neggrad import NegGrad as NegGrad
from certunl.methods.neggrad_plus import NegGradPlus as NegGradPlus
from certunl.methods.newton import Newton as Newton
from certunl.methods.newton_step import NewtonStep as NewtonStep
from certunl.methods.noisy_finetuning import NoisyFineTuning as NoisyFineTuning
from certunl.methods.noisy_sgd import NoisySGD as NoisySGD
from certunl.methods.perturbed_removal import PerturbedRemoval as PerturbedRemoval
from certunl.methods.random_labels import RandomLabels as RandomLabels
from certunl.methods.retrain import Retrain as Retrain
from certunl.methods.rewind_to_delete import RewindToDelete as RewindToDelete
from certunl.methods.salun import SalUn as SalUn
from certunl.methods.scrub import SCRUB as SCRUB
from certunl.planning import Plan as Plan
from certunl.planning import plan as plan
from certunl.rows.attribution import attribute as attribute
from certunl.rows.attribution import loss_changes as loss_changes
from certunl.rows.gatherers import Backward as Backward
from certunl.rows.gatherers import Forward as Forward
from certunl.rows.staleness import Staleness as Staleness
from certunl.rows.staleness import measure_staleness as measure_staleness
from certunl.rows.statistics import Statistics as Statistics
from certunl.rows.store import Store as Store
from certunl.solvers.cg import CG as CG
from certunl.solvers.dense import Dense as Dense
from certunl.solvers.lissa import LiSSA as LiSSA
from certunl.stream import Stream as Stream
from certunl.training.ensemble import ensemble as ensemble
from certunl.training.ensemble import retrainings as retrainings
from certunl.training.ensemble import seeds as seeds
from certunl.training.problem import Dataset as Dataset
from certunl.training.problem import Problem as Problem
from certunl.training.recipe import Recipe as Recipe
from certunl.training.run import Run as Run
from certunl.training.run import fit as fit
from certunl.training.run import train as train
from certunl.training.schedule import Schedule as Schedule
from certunl.training.supervised import classification as classification
from certunl.training.supervised import regression as regression

__version__ = "0.1.0"

if not TYPE_CHECKING:  # else a checker would take every name for known

    def __getattr__(name: str) -> Any:
        """`rooms`, the old name of `registry`, for one version more."""
        if name == "rooms":
            warnings.warn("certunl.rooms is now certunl.registry", DeprecationWarning, stacklevel=2)
            return registry
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
