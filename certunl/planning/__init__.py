"""What a run would cost, before it starts.

advice         advise: which model to train, by measured accuracies and the prices of forgetting
costs          plan: the orders of evaluation and retraining, counted and timed on this machine
noise_prices   noise_prices: epsilon against the share of a training that is done again, for training with noise
shard_work     replays: the share of a training that a request replays, for models on shards
topology       forecast: memory and arithmetic on TPUs that are not here, by compiling for them
"""

from certunl.planning.advice import Advice, Way, advise
from certunl.planning.costs import Order, Plan, plan
from certunl.planning.noise_prices import NoisePrices, noise_prices
from certunl.planning.shard_work import Replays, replays
from certunl.planning.topology import Forecast, Program, forecast

__all__ = [
    "Advice",
    "Forecast",
    "NoisePrices",
    "Order",
    "Plan",
    "Program",
    "Replays",
    "Way",
    "advise",
    "forecast",
    "noise_prices",
    "plan",
    "replays",
]
