"""Who was in? What attackers hold, how they are run, and what their scores are worth.

    target         Target, Shadows, Attack: what an attacker holds, and the contract of an attack
    shadows        shadow models, trained on random halves of the candidates
    attack         every attack on every model of one request, beside its control
    roc            what scores are worth: AUC, true positives at few false ones
    relearning     in how many epochs a model learns the forgotten examples again

The attacks themselves are in attacks/, one per file.
"""

from certunl.membership.attack import attack_all
from certunl.membership.relearning import relearn_epochs
from certunl.membership.roc import Attacked, judge
from certunl.membership.target import Attack, Shadows, Target

__all__ = ["Attack", "Attacked", "Shadows", "Target", "attack_all", "judge", "relearn_epochs"]
