"""Unlearning methods, one per file.

A method is a frozen dataclass of settings with

    prepare(run, *, progress=None) -> Any                 work before any request; returns None if there is none
    forget(run, prepared, request, key) -> Update         `prepared` may be None, unless the method is `serves_once`

`forget` checks the request with `run.check`, never changes `run` and waits for its result. It stores the seconds it
took in `Update.cost`, with compilation apart. The guarantee of an approximation comes from `bounds.theorems`. It says
None if no theorem applies.
"""

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

__all__ = [
    "LCODEC",
    "SCRUB",
    "CertifiedRemoval",
    "DescentToDelete",
    "DiagonalInfluence",
    "FineTune",
    "FisherForgetting",
    "HessianFree",
    "Jackknife",
    "ModelClipping",
    "NegGrad",
    "NegGradPlus",
    "Newton",
    "NewtonStep",
    "NoisyFineTuning",
    "NoisyRetrain",
    "NoisySGD",
    "PerturbedRemoval",
    "RandomLabels",
    "Retrain",
    "RewindToDelete",
    "SalUn",
]
