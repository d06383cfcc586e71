"""Certified machine unlearning for deep networks, on JAX."""

from certunl import bounds as bounds
from certunl import datasets as datasets
from certunl import methods as methods
from certunl import metrics as metrics
from certunl import models as models
from certunl import requests as requests
from certunl import rooms as rooms
from certunl import solvers as solvers
from certunl.bounds._constants import NewtonConstants as NewtonConstants
from certunl.budget import Account as Account
from certunl.budget import Budget as Budget
from certunl.calibration import certify as certify
from certunl.calibration import secret_key as secret_key
from certunl.certificate import Assumption as Assumption
from certunl.certificate import Certificate as Certificate
from certunl.certificate import Release as Release
from certunl.certificate import Update as Update
from certunl.evaluation import Report as Report
from certunl.evaluation import evaluate as evaluate
from certunl.methods.finetune import FineTune as FineTune
from certunl.methods.fisher import FisherForgetting as FisherForgetting
from certunl.methods.hessian_free import HessianFree as HessianFree
from certunl.methods.influence import DiagonalInfluence as DiagonalInfluence
from certunl.methods.lcodec import LCODEC as LCODEC
from certunl.methods.neggrad import NegGrad as NegGrad
from certunl.methods.newton import Newton as Newton
from certunl.methods.retrain import Retrain as Retrain
from certunl.problem import Dataset as Dataset
from certunl.problem import Problem as Problem
from certunl.problem import classification as classification
from certunl.problem import regression as regression
from certunl.recipe import Recipe as Recipe
from certunl.schedule import Schedule as Schedule
from certunl.solvers.cg import CG as CG
from certunl.solvers.dense import Dense as Dense
from certunl.solvers.lissa import LiSSA as LiSSA
from certunl.statistics import Statistics as Statistics
from certunl.stream import Stream as Stream
from certunl.training import Run as Run
from certunl.training import fit as fit
from certunl.training import train as train
from certunl.typing import BadInput as BadInput
from certunl.typing import Diverged as Diverged

__version__ = "0.1.0"
