"""A head on features of a network that learnt from the same examples with noise: one account for both."""

from dataclasses import replace
from typing import Any

import numpy as np

from certunl.base import digest
from certunl.bounds.theorems.noisy_training import common_of, settings_of
from certunl.certificates.guarantee import Assumption, Guarantee
from certunl.certificates.statement import Pairs
from certunl.training.run import Run

__all__ = ["noisy_features"]

_PAIRS = (
    "a statement of Gaussian noise that no other release holds, because pairs and noise of the head's own training are "
    "not composed with the training of the features' extractor"
)


def noisy_features(run: Run, request: Any, guarantee: Guarantee) -> Guarantee:
    """`guarantee` of a head, and the price of the request in the training of the features' extractor.

    The extractor is the mechanism of `noisy_training`, of ratio r_1 for everyone forgotten. Given its parameters, the
    features of all retained examples are the same with and without the forgotten. So the statement about the head
    holds for each value of them. By adaptive composition both together have the ratio √(r_1² + r_2²), if r_2 is the
    largest ratio of the head that the budget allows (`certificates.sharing`). The extractor may be published with every
    head that is released.

    Args:
        run: a run on data from `Features.of(a run with noise)`. Any other run keeps its guarantee.
        request: the forgotten examples.
        guarantee: the statement about the head, with everything that the run leaves unchecked.

    Returns: the guarantee with `common`. A statement of pairs, or about noise of the head's own training, becomes none.
    Data that are not the extractor's features of its own training set, row by row, keep the condition that they name as
    unchecked.

    Source: Dong, Roth and Su 2022, theorem 3.2 and corollary 3.3.
    """
    table = run.problem.data.slots
    if table is None:
        return guarantee
    if request is None or not (table.own and table.features and table.features == digest(None, run.problem.data.x)):
        condition = table.condition or "these features are those of a network whose training is counted"
        return replace(guarantee, unchecked=tuple(dict.fromkeys((*guarantee.unchecked, condition))))
    common = common_of(table, run.present, ~np.asarray(run.retained(run.check(request))), len(table.indices))
    says, missing = guarantee.says, guarantee.missing
    if isinstance(says, Pairs) or guarantee.common is not None:
        says, missing = None, (*missing, _PAIRS)
    ratio = Assumption("r_1", common.ratio, "proved", "ratio of the request in the training of the extractor")
    unchecked = tuple(condition for condition in guarantee.unchecked if condition != table.condition)
    return replace(
        guarantee,
        says=says,
        from_training=True,
        common=common,
        assumptions=(*guarantee.assumptions, ratio, *settings_of(table, run.problem.data.owners)),
        unchecked=tuple(dict.fromkeys((*unchecked, *table.unchecked))),
        missing=missing,
    )
