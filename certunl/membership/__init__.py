"""Membership inference: the knowledge of attackers, the attacks on all models, and the power of their scores.

    target         Target, Shadows, Attack: the knowledge of an attacker, and the contract of an attack
    shadows        shadow models, trained on random halves of the candidates
    attack         every attack on every model of one request, with a control
    roc            the power of scores: AUC, true positive rates at low false positive rates
    power          the power that few shadow models leave an attack, and how many a run can afford
    relearning     the number of epochs in which a model learns the forgotten examples again

The attacks themselves are in attacks/, one per file.
"""

from certunl.membership.attack import attack_all
from certunl.membership.power import affordable, expected_auc, understatement
from certunl.membership.relearning import relearn_epochs
from certunl.membership.roc import Attacked, judge
from certunl.membership.target import Attack, Shadows, Target

__all__ = [
    "Attack",
    "Attacked",
    "Shadows",
    "Target",
    "affordable",
    "attack_all",
    "expected_auc",
    "judge",
    "relearn_epochs",
    "understatement",
]
