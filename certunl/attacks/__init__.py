"""Membership inference attacks, one per file.

An attack is a frozen dataclass of settings with `needs` ("model", "shadows" or "unlearned") and

    attack(target, key) -> f[m]        a score for each candidate, higher for members of the training set

Half of the target's candidates are forgotten examples. The others are test examples of the same classes. An attack may
learn from some of the bits `target.member`, and then gives NaN for these candidates. `roc.judge` measures the scores.
An attack must be at chance on two halves of a test set, and above chance on an overfit model.
"""

from certunl.attacks.lira import LiRA
from certunl.attacks.loss_threshold import LossThreshold
from certunl.attacks.relearn import Relearn
from certunl.attacks.rmia import RMIA
from certunl.attacks.ulira import ULiRA
from certunl.attacks.update_difference import UpdateDifference

__all__ = ["RMIA", "LiRA", "LossThreshold", "Relearn", "ULiRA", "UpdateDifference"]
