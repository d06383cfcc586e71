"""Who was in? One attack per file.

An attack is a frozen dataclass of settings with `needs` («model», «shadows» or «unlearned») and

    attack(target, key) -> f[m]        a score of each candidate, higher for «was in»

Half of the target's candidates are forgotten examples, the others examples nobody saw, of the same classes. It may
learn from some of the bits `target.member` and gives NaN for those; `roc.judge` says what the scores are worth. On two
halves of a test set it is at chance, on an overfit model above.
"""

from certunl.attacks.lira import LiRA
from certunl.attacks.loss_threshold import LossThreshold
from certunl.attacks.relearn import Relearn
from certunl.attacks.rmia import RMIA
from certunl.attacks.ulira import ULiRA
from certunl.attacks.update_difference import UpdateDifference

__all__ = ["RMIA", "LiRA", "LossThreshold", "Relearn", "ULiRA", "UpdateDifference"]
